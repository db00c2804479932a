//! Which tables share a topic, and how many partitions a topic has, where that is said.

use std::sync::Arc;

use keylane_core::model::TableName;

/// A table as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its schema; `None`: any.
    pub schema: Option<Arc<str>>,
    /// Its name.
    pub table: Arc<str>,
}

impl Named {
    /// Whether it means this table.
    pub fn means(&self, table: &TableName) -> bool {
        let schema = self.schema.as_ref();
        self.table == table.name && schema.is_none_or(|schema| *schema == table.schema)
    }

    /// The table beside another: in its schema, unless another one is said.
    fn beside(&self, other: &TableName) -> TableName {
        let schema = self.schema.as_ref().unwrap_or(&other.schema);
        TableName::new(schema.clone(), self.table.clone())
    }
}

/// Which table's topic is another's, and which topic has a number of partitions of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Guests, each with its host. A host is no guest.
    pub hosts: Vec<(Named, Named)>,
    /// Partitions of a table's topic, where they are not those of all.
    pub partitions: Vec<(Named, u32)>,
}

impl Layout {
    /// The table whose topic a table's changes go into; mostly itself.
    pub fn host(&self, table: &TableName) -> TableName {
        let mut hosts = self.hosts.iter();
        let host = hosts.find(|(guest, _)| guest.means(table));
        host.map_or_else(|| table.clone(), |(_, host)| host.beside(table))
    }

    /// Partitions of the topic of a table that is no guest, if that was said.
    pub fn partitions(&self, table: &TableName) -> Option<u32> {
        let mut partitions = self.partitions.iter();
        let said = partitions.find(|(named, _)| named.means(table));
        said.map(|(_, partitions)| *partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(schema: Option<&str>, table: &str) -> Named {
        Named {
            schema: schema.map(Into::into),
            table: table.into(),
        }
    }

    #[test]
    fn a_guest_goes_to_its_host_in_its_own_schema_unless_another_is_said() {
        let layout = Layout {
            hosts: vec![
                (named(None, "items"), named(None, "orders")),
                (named(Some("b"), "notes"), named(Some("a"), "orders")),
            ],
            partitions: vec![(named(Some("a"), "orders"), 24)],
        };
        let host =
            |schema: &str, table: &str| layout.host(&TableName::new(schema, table)).to_string();
        assert_eq!(host("a", "items"), "a.orders");
        assert_eq!(host("b", "items"), "b.orders");
        assert_eq!(host("b", "notes"), "a.orders");
        assert_eq!(host("a", "notes"), "a.notes");
        assert_eq!(layout.partitions(&TableName::new("a", "orders")), Some(24));
        assert_eq!(layout.partitions(&TableName::new("b", "orders")), None);
    }
}
