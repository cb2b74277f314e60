//! The model and its file, as one.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use paceline_model::Model;
use redb::Database;
use redb::backends::FileBackend;

use crate::{StoreError, rows};

/// The file's name in the state directory.
const FILE: &str = "model.redb";
/// Bytes of redb's page cache. The model is in memory anyway; pages are read at start only.
const CACHE: usize = 1 << 20;

/// The model and its file, as one.
pub struct Store {
    path: PathBuf,
    /// None after a failed commit, until the file could be opened again.
    db: Option<Database>,
    model: Model,
}

impl Store {
    /// Opens the state in this directory; makes both if they are missing, for the owner only (0700 and 0600).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| StoreError::io(dir, source))?;
        let path = dir.join(FILE);
        let db = open(&path)?;
        let (schema, model) = rows::load(&db, &path)?.unzip();
        let model = model.unwrap_or_default();
        // A new file, or one whose schema says less than it should to earlier versions.
        if schema != Some(rows::schema(&model)) {
            rows::save_all(&db, &model).map_err(|error| StoreError::redb(&path, error))?;
        }
        Ok(Self { path, db: Some(db), model })
    }

    /// The model as it is on disk.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Changes the model. When this returns `Ok` the change is on disk; when it returns an error, of `edit` or of the
    /// disk, nothing has changed. An `edit` that changes nothing writes nothing.
    ///
    /// The calling thread waits for the disk. `edit` changes rows of tables; it must not put other tables in their
    /// place, as they would not know what to write.
    ///
    /// # Errors
    /// The error of `edit`, or a [`StoreError`].
    pub fn update<T, E: From<StoreError>>(
        &mut self,
        edit: impl FnOnce(&mut Model) -> Result<T, E>,
    ) -> Result<T, E> {
        let db = match self.db.take() {
            Some(db) => db,
            None => self.reopen()?,
        };
        let draft = Draft(&mut self.model);
        let done = edit(draft.0);
        if done.is_err() || draft.0.is_settled() {
            self.db = Some(db);
            return done;
        }
        // After a failure redb wants the file to be opened again: `db` is dropped.
        rows::save_changes(&db, draft.0).map_err(|error| StoreError::redb(&self.path, error))?;
        draft.0.settle();
        self.db = Some(db);
        done
    }

    /// Opens the file again after a failed commit. That commit is not in the model, but may have reached the disk: what is
    /// there and differs is written anew.
    fn reopen(&self) -> Result<Database, StoreError> {
        let db = open(&self.path)?;
        let is_same = |(schema, model): &(u64, Model)| *schema == rows::schema(model) && *model == self.model;
        if !rows::load(&db, &self.path)?.as_ref().is_some_and(is_same) {
            rows::save_all(&db, &self.model).map_err(|error| StoreError::redb(&self.path, error))?;
        }
        Ok(db)
    }
}

/// A model being edited: what is not settled when this is dropped, also by a panic, is taken back.
struct Draft<'m>(&'m mut Model);

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        self.0.roll_back();
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|source| StoreError::io(path, source))?;
    let backend = FileBackend::new(file).map_err(|error| StoreError::redb(path, error))?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder.create_with_backend(backend).map_err(|error| StoreError::redb(path, error))
}
