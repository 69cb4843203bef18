//! Durable Object SQLite behind the [`Sql`] trait.

use std::cell::Cell;

use worker::{SqlStorage, SqlStorageValue};

use crate::delivery::sql::{Row, Sql, SqlError, Value};

/// The storage of one object, counting what it does: rows are what the platform charges for.
pub struct EdgeSql {
    storage: SqlStorage,
    rows_read: Cell<u64>,
    rows_written: Cell<u64>,
}

impl EdgeSql {
    pub fn new(storage: SqlStorage) -> Self {
        Self {
            storage,
            rows_read: Cell::default(),
            rows_written: Cell::default(),
        }
    }

    /// Rows read and written since the object woke.
    pub fn rows(&self) -> (u64, u64) {
        (self.rows_read.get(), self.rows_written.get())
    }

    /// Bytes that the object stores.
    pub fn size(&self) -> u64 {
        self.storage.database_size() as u64
    }
}

impl Sql for EdgeSql {
    fn exec(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        let engine = |error: worker::Error| SqlError::Engine(error.to_string());
        let bound: Vec<SqlStorageValue> = values.iter().map(bind).collect();
        let cursor = self.storage.exec(statement, bound).map_err(engine)?;
        // Read to the end at once: a cursor left half read disturbs later statements.
        let rows: Vec<_> = cursor.raw().collect();
        self.rows_read.set(self.rows_read.get() + cursor.rows_read() as u64);
        self.rows_written
            .set(self.rows_written.get() + cursor.rows_written() as u64);
        rows.into_iter()
            .map(|row| {
                let cells = row.map_err(engine)?.into_iter().map(read);
                cells.collect::<Result<Vec<_>, _>>().map(Row)
            })
            .collect()
    }
}

fn bind(value: &Value) -> SqlStorageValue {
    match value {
        Value::Null => SqlStorageValue::Null,
        Value::Int(value) => SqlStorageValue::Integer(*value),
        Value::Text(value) => SqlStorageValue::String(value.clone()),
        Value::Blob(value) => SqlStorageValue::Blob(value.clone()),
    }
}

fn read(value: SqlStorageValue) -> Result<Value, SqlError> {
    match value {
        SqlStorageValue::Null => Ok(Value::Null),
        SqlStorageValue::Boolean(value) => Ok(Value::Int(i64::from(value))),
        SqlStorageValue::Integer(value) => Ok(Value::Int(value)),
        // Without the number: nothing else here writes floating-point numbers as text, which is 20 KB of code.
        SqlStorageValue::Float(_) => Err(SqlError::Engine("a number that is no integer".into())),
        SqlStorageValue::String(value) => Ok(Value::Text(value)),
        SqlStorageValue::Blob(value) => Ok(Value::Blob(value)),
    }
}
