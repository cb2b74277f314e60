//! The tables of the file, and the model in them.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use paceline_model::durable::Table;
use paceline_model::{Model, Pools};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, TableHandle,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// Rows of JSON by the text of their key.
type Rows = TableDefinition<'static, &'static str, &'static [u8]>;

const NETWORKS: Rows = TableDefinition::new("networks");
const ENDPOINTS: Rows = TableDefinition::new("endpoints");
const POOLS: Rows = TableDefinition::new("pools");
const LEASES: Rows = TableDefinition::new("leases");
const OFFERS: Rows = TableDefinition::new("offers");
const ROUTES: Rows = TableDefinition::new("routes");
const TIERS: Rows = TableDefinition::new("tiers");
const GROUPS: Rows = TableDefinition::new("groups");

/// What the file is about itself.
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema";
/// Raised whenever an earlier version would misread the rows, or pass over what keeps anybody out. A file has the least one that its
/// rows need, so that who uses nothing new may go back.
///
/// Fields and tables that came later do not raise it otherwise. They are missing in older files, which means their default. An older
/// version passes over routes, which are the operator's and stay in the file, and refuses a network or endpoint with a field that it
/// does not know, by name; such fields are written only where they are not their default.
const SCHEMA: u64 = POLICIES;
/// Of a file without policies.
const PLAIN: u64 = 1;
/// Of a file with policies. A version that knows none would let everything through.
const POLICIES: u64 = 2;

/// The schema of a file with this model.
pub(crate) fn schema(model: &Model) -> u64 {
    if model.tiers.is_empty() && model.groups.is_empty() { PLAIN } else { POLICIES }
}

/// Reads the whole model, and the schema that the file says. A file without one is new.
pub(crate) fn load(db: &Database, path: &Path) -> Result<Option<(u64, Model)>, StoreError> {
    let transaction = db.begin_read().map_err(|error| StoreError::redb(path, error))?;
    let schema = match transaction.open_table(META) {
        Ok(meta) => {
            meta.get(SCHEMA_KEY).map_err(|error| StoreError::redb(path, error))?.map(|value| value.value())
        }
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(StoreError::redb(path, error)),
    };
    let schema = match schema {
        Some(found @ PLAIN..=SCHEMA) => found,
        Some(found) if found > SCHEMA => {
            return Err(StoreError::Newer { path: path.into(), found, known: SCHEMA });
        }
        other => return Err(StoreError::corrupt(path, &format!("schema {other:?}"))),
    };
    let model = Model {
        networks: load_table(&transaction, NETWORKS, path)?,
        endpoints: load_table(&transaction, ENDPOINTS, path)?,
        pools: Pools {
            pools: load_table(&transaction, POOLS, path)?,
            leases: load_table(&transaction, LEASES, path)?,
            offers: load_table(&transaction, OFFERS, path)?,
        },
        routes: load_table(&transaction, ROUTES, path)?,
        tiers: load_table(&transaction, TIERS, path)?,
        groups: load_table(&transaction, GROUPS, path)?,
    };
    Ok(Some((schema, model)))
}

fn load_table<K, V>(transaction: &ReadTransaction, rows: Rows, path: &Path) -> Result<Table<K, V>, StoreError>
where
    K: FromStr<Err: Display> + Ord + Clone,
    V: DeserializeOwned + Clone,
{
    let table = match transaction.open_table(rows) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Table::default()),
        Err(error) => return Err(StoreError::redb(path, error)),
    };
    let wrong = |key: &str, why: &dyn Display| {
        StoreError::corrupt(path, &format!("{} row {key:?}: {why}", rows.name()))
    };
    let read =
        |row: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), redb::StorageError>| {
            let (key, value) = row.map_err(|error| StoreError::redb(path, error))?;
            let (key, value) = (key.value(), value.value());
            let value = serde_json::from_slice(value).map_err(|error| wrong(key, &error))?;
            Ok((key.parse().map_err(|error| wrong(key, &error))?, value))
        };
    table.iter().map_err(|error| StoreError::redb(path, error))?.map(read).collect()
}

/// Writes what changed in the model, durably.
pub(crate) fn save_changes(db: &Database, model: &Model) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    let Model { networks, endpoints, pools: Pools { pools, leases, offers }, routes, tiers, groups } = model;
    save(&transaction, NETWORKS, networks.changes())?;
    save(&transaction, ENDPOINTS, endpoints.changes())?;
    save(&transaction, POOLS, pools.changes())?;
    save(&transaction, LEASES, leases.changes())?;
    save(&transaction, OFFERS, offers.changes())?;
    save(&transaction, ROUTES, routes.changes())?;
    save(&transaction, TIERS, tiers.changes())?;
    save(&transaction, GROUPS, groups.changes())?;
    if tiers.changes().next().is_some() || groups.changes().next().is_some() {
        transaction.open_table(META)?.insert(SCHEMA_KEY, schema(model))?;
    }
    Ok(transaction.commit()?)
}

/// Writes the whole model in place of whatever there is, durably.
pub(crate) fn save_all(db: &Database, model: &Model) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    for rows in [NETWORKS, ENDPOINTS, POOLS, LEASES, OFFERS, ROUTES, TIERS, GROUPS] {
        transaction.delete_table(rows)?;
    }
    let Model { networks, endpoints, pools: Pools { pools, leases, offers }, routes, tiers, groups } = model;
    save(&transaction, NETWORKS, networks.iter().map(|(key, row)| (key, Some(row))))?;
    save(&transaction, ENDPOINTS, endpoints.iter().map(|(key, row)| (key, Some(row))))?;
    save(&transaction, POOLS, pools.iter().map(|(key, row)| (key, Some(row))))?;
    save(&transaction, LEASES, leases.iter().map(|(key, row)| (key, Some(row))))?;
    save(&transaction, OFFERS, offers.iter().map(|(key, row)| (key, Some(row))))?;
    save(&transaction, ROUTES, routes.iter().map(|(key, row)| (key, Some(row))))?;
    save(&transaction, TIERS, tiers.iter().map(|(key, row)| (key, Some(row))))?;
    save(&transaction, GROUPS, groups.iter().map(|(key, row)| (key, Some(row))))?;
    transaction.open_table(META)?.insert(SCHEMA_KEY, schema(model))?;
    Ok(transaction.commit()?)
}

fn save<'m, K: Display + 'm, V: Serialize + 'm>(
    transaction: &WriteTransaction,
    rows: Rows,
    changes: impl Iterator<Item = (&'m K, Option<&'m V>)>,
) -> Result<(), redb::Error> {
    let mut changes = changes.peekable();
    if changes.peek().is_none() {
        return Ok(());
    }
    let mut table = transaction.open_table(rows)?;
    for (key, value) in changes {
        let key = key.to_string();
        match value {
            Some(value) => {
                // Our rows are strings, numbers and maps by text: they are JSON.
                let json = serde_json::to_vec(value).map_err(std::io::Error::other)?;
                table.insert(key.as_str(), json.as_slice())?;
            }
            None => drop(table.remove(key.as_str())?),
        }
    }
    Ok(())
}
