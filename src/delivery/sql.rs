//! The one door to storage: a synchronous SQL engine, Durable Object SQLite at the edge and `rusqlite` in native tests.
//!
//! One state change is one synchronous function. At the edge its writes commit together because nothing is awaited between
//! them; the native engine of the tests makes the same promise with a transaction.

use thiserror::Error;

/// The largest integer that can be bound: the edge moves integers as doubles.
pub const MAX_INT: i64 = (1 << 53) - 1;

/// A value bound to a statement or read from a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    /// At most [`MAX_INT`] in size.
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What can go wrong between a statement and its rows. Always our fault or the storage's, never a peer's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SqlError {
    #[error("storage refused a statement: {0}")]
    Engine(String),
    #[error("column {column} is not {wanted}")]
    Shape { column: usize, wanted: &'static str },
    #[error("stored {what} cannot be read: {why}")]
    Corrupt { what: &'static str, why: String },
}

impl SqlError {
    /// A stored value of ours that does not parse.
    pub fn corrupt(what: &'static str, why: impl ToString) -> Self {
        Self::Corrupt {
            what,
            why: why.to_string(),
        }
    }
}

/// One row of a result, read by column position.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    pub fn int(&self, column: usize) -> Result<i64, SqlError> {
        match self.0.get(column) {
            Some(Value::Int(value)) => Ok(*value),
            _ => Err(shape(column, "an integer")),
        }
    }

    pub fn optional_int(&self, column: usize) -> Result<Option<i64>, SqlError> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.int(column).map(Some),
        }
    }

    pub fn text(&self, column: usize) -> Result<&str, SqlError> {
        match self.0.get(column) {
            Some(Value::Text(value)) => Ok(value),
            _ => Err(shape(column, "a text")),
        }
    }

    pub fn blob(&self, column: usize) -> Result<&[u8], SqlError> {
        match self.0.get(column) {
            Some(Value::Blob(value)) => Ok(value),
            _ => Err(shape(column, "a blob")),
        }
    }

    /// Takes a blob out of the row without copying it.
    pub fn take_blob(&mut self, column: usize) -> Result<Vec<u8>, SqlError> {
        match self.0.get_mut(column) {
            Some(Value::Blob(value)) => Ok(std::mem::take(value)),
            _ => Err(shape(column, "a blob")),
        }
    }
}

fn shape(column: usize, wanted: &'static str) -> SqlError {
    SqlError::Shape { column, wanted }
}

/// A synchronous SQL engine. `?` placeholders are bound in order; all rows are read before the call returns, because a
/// cursor left half read disturbs later statements on the platform.
pub trait Sql {
    fn exec(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError>;
}

#[cfg(test)]
pub mod testing {
    //! SQLite in memory behind [`Sql`], with faults before and after each write.

    use std::cell::Cell;

    use super::{Row, Sql, SqlError, Value};

    /// Where the next fault strikes, counted in writing statements.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        Before(u32),
        After(u32),
    }

    /// A database that can fail on demand. `atomic` behaves as one turn of an object: all of its writes or none.
    pub struct TestSql {
        connection: rusqlite::Connection,
        fault: Cell<Option<Fault>>,
        writes: Cell<u32>,
        written_rows: Cell<u64>,
        steps: Cell<i64>,
    }

    impl Default for TestSql {
        fn default() -> Self {
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            connection.set_prepared_statement_cache_capacity(128);
            Self {
                connection,
                fault: Cell::new(None),
                writes: Cell::new(0),
                written_rows: Cell::new(0),
                steps: Cell::new(0),
            }
        }
    }

    impl TestSql {
        pub fn fail(&self, fault: Fault) {
            self.writes.set(0);
            self.fault.set(Some(fault));
        }

        /// Rows changed since the last call.
        pub fn take_written_rows(&self) -> u64 {
            self.written_rows.replace(0)
        }

        /// Steps that the engine's virtual machine took since the last call. A step into an index is one, whatever its size;
        /// each further row takes more.
        pub fn take_steps(&self) -> i64 {
            self.steps.replace(0)
        }

        /// Runs one state change as the platform would: everything it wrote, or after an error nothing.
        pub fn atomic<T, E>(&self, change: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
            let carry_out = |statement| self.connection.prepare_cached(statement).unwrap().execute([]).unwrap();
            carry_out("BEGIN");
            let result = change(self);
            carry_out(if result.is_ok() { "COMMIT" } else { "ROLLBACK" });
            self.fault.set(None);
            result
        }

        fn strike(&self, at: Fault) -> Result<(), SqlError> {
            if self.fault.get() == Some(at) {
                self.fault.set(None);
                return Err(SqlError::Engine(format!("injected {at:?}")));
            }
            Ok(())
        }
    }

    impl Sql for TestSql {
        fn exec(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
            let writes = !statement.starts_with("SELECT");
            let count = self.writes.get();
            if writes {
                self.writes.set(count + 1);
                self.strike(Fault::Before(count))?;
            }
            let engine = |error: rusqlite::Error| SqlError::Engine(error.to_string());
            let before = self.connection.total_changes();
            let mut prepared = self.connection.prepare_cached(statement).map_err(engine)?;
            let columns = prepared.column_count();
            let bound = rusqlite::params_from_iter(values.iter().map(|value| match value {
                Value::Null => rusqlite::types::Value::Null,
                Value::Int(value) => rusqlite::types::Value::Integer(*value),
                Value::Text(value) => rusqlite::types::Value::Text(value.clone()),
                Value::Blob(value) => rusqlite::types::Value::Blob(value.clone()),
            }));
            let mut rows = prepared.query(bound).map_err(engine)?;
            let mut result = Vec::new();
            while let Some(row) = rows.next().map_err(engine)? {
                let mut read = Vec::with_capacity(columns);
                for column in 0..columns {
                    read.push(match row.get_ref(column).map_err(engine)? {
                        rusqlite::types::ValueRef::Null => Value::Null,
                        rusqlite::types::ValueRef::Integer(value) => Value::Int(value),
                        rusqlite::types::ValueRef::Real(value) => {
                            return Err(SqlError::Engine(format!("a real number: {value}")));
                        }
                        rusqlite::types::ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
                        rusqlite::types::ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
                    });
                }
                result.push(Row(read));
            }
            drop(rows);
            let steps = prepared.reset_status(rusqlite::StatementStatus::VmStep);
            self.steps.set(self.steps.get() + i64::from(steps));
            drop(prepared);
            self.written_rows
                .set(self.written_rows.get() + self.connection.total_changes() - before);
            if writes {
                self.strike(Fault::After(count))?;
            }
            Ok(result)
        }
    }
}
