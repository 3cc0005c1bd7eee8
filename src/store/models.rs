//! Trained models: read when first asked for, then kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::common::Result;
use parking_lot::RwLock;
use seedbed_udfs::synthesize::{self, Model};

use super::folder::Folder;

/// Models by name.
#[derive(Debug, Default)]
pub(super) struct Models {
    /// None in memory, where the models themselves are kept and not their bytes.
    folder: Option<Folder>,
    loaded: RwLock<BTreeMap<String, Loaded>>,
}

#[derive(Debug, Clone)]
struct Loaded {
    model: Arc<dyn Model>,
    /// Of the file it is: another session may have replaced it.
    stamp: Option<(SystemTime, u64)>,
}

impl Models {
    pub(super) fn on_disk(folder: Folder) -> Self {
        Self {
            folder: Some(folder),
            loaded: RwLock::default(),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        match &self.folder {
            Some(folder) => folder.names(),
            None => self.loaded.read().keys().cloned().collect(),
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        match &self.folder {
            Some(folder) => folder.contains(name),
            None => self.loaded.read().contains_key(name),
        }
    }

    pub(super) fn put(&self, name: &str, model: Arc<dyn Model>) -> Result<()> {
        let mut stamp = None;
        if let Some(folder) = &self.folder {
            folder.write(name, model.to_bytes()?)?;
            stamp = folder.stamp(name);
        }
        let loaded = Loaded { model, stamp };
        self.loaded.write().insert(name.to_string(), loaded);
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Arc<dyn Model>>> {
        let known = self.loaded.read().get(name).cloned();
        let Some(folder) = &self.folder else {
            return Ok(known.map(|known| known.model));
        };
        let stamp = folder.stamp(name);
        if let Some(known) = known
            && stamp.is_some()
            && known.stamp == stamp
        {
            return Ok(Some(known.model));
        }
        let Some(bytes) = folder.read(name)? else {
            self.loaded.write().remove(name);
            return Ok(None);
        };
        let model = synthesize::load(&bytes).map_err(|error| {
            error.context(format!(
                "the stored model {name} in {} cannot be read; train it again with CREATE OR REPLACE MODEL",
                folder.place()
            ))
        })?;
        let loaded = Loaded {
            model: Arc::clone(&model),
            stamp,
        };
        self.loaded.write().insert(name.to_string(), loaded);
        Ok(Some(model))
    }

    /// Whether there was something to remove.
    pub(super) fn remove(&self, name: &str) -> Result<bool> {
        let known = self.loaded.write().remove(name).is_some();
        match &self.folder {
            Some(folder) => folder.remove(name),
            None => Ok(known),
        }
    }
}
