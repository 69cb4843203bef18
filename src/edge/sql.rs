//! Durable Object SQLite behind the [`Sql`] trait.

use worker::{SqlStorage, SqlStorageValue};

use crate::delivery::sql::{Row, Sql, SqlError, Value};

/// The storage of one object.
pub struct EdgeSql(pub SqlStorage);

impl Sql for EdgeSql {
    fn exec(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        let engine = |error: worker::Error| SqlError::Engine(error.to_string());
        let bound: Vec<SqlStorageValue> = values.iter().map(bind).collect();
        let cursor = self.0.exec(statement, bound).map_err(engine)?;
        // Read to the end at once: a cursor left half read disturbs later statements.
        let rows: Vec<_> = cursor.raw().collect();
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
        SqlStorageValue::Float(value) => Err(SqlError::Engine(format!("a number that is no integer: {value}"))),
        SqlStorageValue::String(value) => Ok(Value::Text(value)),
        SqlStorageValue::Blob(value) => Ok(Value::Blob(value)),
    }
}
