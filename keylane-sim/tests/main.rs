//! Every sound variant holds and every mutant is caught, within a time budget.
