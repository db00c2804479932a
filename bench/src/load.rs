//! The loads, each with an exact number of changes.

/// Bulk statements and single-row transactions in one: six in ten changes come in four large statements, the rest one by one, over rows of six columns and
/// rows like pgbench's accounts. `changes` is rounded down to a multiple of ten.
pub(crate) fn mixed(changes: u64) -> String {
    let tenth = changes / 10;
    format!(
        "do $$ begin
           perform set_config('synchronous_commit', 'off', false);
           insert into orders select i, i % 1000, 'new', i % 977 + 0.25, 'order number ' || i, 1 from generate_series(1, {two}) i; commit;
           insert into accounts select i, i % 10, 0, '' from generate_series(1, {tenth}) i; commit;
           update orders set status = 'paid', version = version + 1; commit;
           update accounts set abalance = abalance + 7; commit;
           for i in 1..{two} loop
             update accounts set abalance = abalance + i where aid = 1 + (i::bigint * 7919) % {tenth}; commit;
             insert into orders values ({two} + i, i % 1000, 'new', 12.50, 'one by one ' || i, 1); commit;
           end loop;
         end $$",
        two = tenth * 2
    )
}

/// How many rows a load of `changes` should begin with: so many that some rows of the first transactions are neither deleted nor updated again, because
/// the first commit at the replica is known by the rows that keep its mark.
pub(crate) fn base_rows(changes: u64) -> u64 {
    (changes / 2).max(10_000)
}

/// The rows that [`inserts_updates_deletes`] begins with.
pub(crate) fn base(rows: u64) -> String {
    format!(
        "insert into orders select i, i % 1000, 'new', i % 977 + 0.25, 'order number ' || i, 1 from generate_series(1, {rows}) i"
    )
}

/// Three inserts, five updates of any row and two deletes of the oldest in every ten changes, `per_transaction` of them in each transaction.
pub(crate) fn inserts_updates_deletes(base: u64, changes: u64, per_transaction: u64) -> String {
    format!(
        "do $$ declare lo bigint := 1; hi bigint := {base}; chosen bigint; begin
           perform set_config('synchronous_commit', 'off', false);
           perform setseed(0.25);
           for i in 1..{changes} loop
             if i % 10 < 3 then
               hi := hi + 1;
               insert into orders values (hi, i % 1000, 'new', i % 977 + 0.25, 'order number ' || hi, 1);
             elsif i % 10 < 8 then
               -- In a variable: a random number in the condition would be drawn anew for every row of the table.
               chosen := lo + floor(random() * (hi - lo + 1))::bigint;
               update orders set status = 'paid', total = total + 1, version = version + 1 where id = chosen;
             else
               delete from orders where id = lo;
               lo := lo + 1;
             end if;
             if i % {per_transaction} = 0 then commit; end if;
           end loop;
         end $$"
    )
}
