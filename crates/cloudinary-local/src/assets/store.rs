//! The assets: an index in memory, and on disk one file for the bytes and one JSON file for the description of each.
//!
//! The bytes are written first; a change becomes visible when its description is renamed into place. A killed process
//! therefore loses nothing that was answered, and the next start removes what it left half-done. Nothing is synced,
//! which keeps small uploads fast: a power cut may take the last seconds.
//!
//! All methods block. The lock of an identity is held while its files change, the index only during look-ups.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use uuid::Uuid;

use crate::assets::file_type::Media;
use crate::assets::staged_file::{StagedFile, TempPath};
use crate::assets::{Asset, Identity, Labels};
use crate::error::Error;

const SHARDS: usize = 64;

/// An upload to be stored.
#[derive(Debug)]
pub(crate) struct NewAsset {
    pub identity: Identity,
    pub media: Media,
    pub original_filename: Option<String>,
    pub labels: Labels,
    /// Unix seconds.
    pub now: i64,
}

/// What an upload did.
#[derive(Debug)]
pub(crate) enum Put {
    /// The identity was free.
    Stored(Arc<Asset>),
    /// An older version was replaced.
    Overwritten(Arc<Asset>),
    /// The identity was taken, and nothing changed.
    Existing(Arc<Asset>),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RenameError {
    #[error("no such asset")]
    NotFound,
    #[error("the new id is taken")]
    Taken,
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug, Default)]
struct Index {
    by_identity: BTreeMap<Identity, Arc<Asset>>,
    by_asset_id: HashMap<String, Identity>,
}

impl Index {
    fn insert(&mut self, asset: Arc<Asset>) {
        self.by_asset_id.insert(asset.asset_id.clone(), asset.identity.clone());
        self.by_identity.insert(asset.identity.clone(), asset);
    }

    fn remove(&mut self, identity: &Identity) {
        if let Some(asset) = self.by_identity.remove(identity) {
            self.by_asset_id.remove(&asset.asset_id);
        }
    }
}

/// The assets of all clouds.
#[derive(Debug)]
pub(crate) struct Store {
    folders: Folders,
    index: RwLock<Index>,
    locks: [Mutex<()>; SHARDS],
    /// Holds the advisory lock that keeps other servers out.
    lock: File,
}

#[derive(Debug)]
struct Folders {
    descriptions: PathBuf,
    blobs: PathBuf,
    derived: PathBuf,
    incoming: PathBuf,
    chunks: PathBuf,
}

impl Store {
    /// Makes the folder if need be, reads all descriptions, and removes what a killed process left half-done.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let folders = Folders {
            descriptions: root.join("assets"),
            blobs: root.join("blobs"),
            derived: root.join("derived"),
            incoming: root.join("incoming"),
            chunks: root.join("chunks"),
        };
        for folder in [&folders.descriptions, &folders.blobs, &folders.chunks] {
            fs::create_dir_all(folder).map_err(data_error(folder))?;
        }
        let lock = lock(root)?;
        for folder in [&folders.derived, &folders.incoming] {
            match fs::remove_dir_all(folder) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(data_error(folder)(source)),
                _ => fs::create_dir(folder).map_err(data_error(folder))?,
            }
        }
        let index = load(&folders)?;
        tracing::debug!(assets = index.by_identity.len(), data = %root.display(), "assets loaded");
        Ok(Self { folders, index: RwLock::new(index), locks: std::array::from_fn(|_| Mutex::new(())), lock })
    }

    /// Unlocks the folder for another server. Call it when nothing is stored any more. Closing the file would not do,
    /// because a child process that is just being started holds a copy of it.
    pub(crate) fn release(&self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "cannot unlock the data folder");
        }
    }

    /// The folder for staged files.
    pub(crate) fn incoming(&self) -> &Path {
        &self.folders.incoming
    }

    /// The folder for chunks of unfinished uploads.
    pub(crate) fn chunks(&self) -> &Path {
        &self.folders.chunks
    }

    /// The folder for derived versions of an asset.
    pub(crate) fn derived(&self, asset: &Asset) -> PathBuf {
        self.folders.derived.join(asset.blob())
    }

    /// The file with an asset's bytes. It is gone if the asset was replaced meanwhile.
    pub(crate) fn blob_path(&self, asset: &Asset) -> PathBuf {
        self.folders.blobs.join(asset.blob())
    }

    pub(crate) fn get(&self, identity: &Identity) -> Option<Arc<Asset>> {
        self.read().by_identity.get(identity).cloned()
    }

    /// `None` also for an asset of another cloud.
    pub(crate) fn get_by_asset_id(&self, cloud: &str, asset_id: &str) -> Option<Arc<Asset>> {
        let index = self.read();
        let identity = index.by_asset_id.get(asset_id).filter(|identity| identity.cloud == cloud)?;
        index.by_identity.get(identity).cloned()
    }

    /// All assets, ordered by cloud, resource type, delivery type and public id.
    pub(crate) fn all(&self) -> Vec<Arc<Asset>> {
        self.read().by_identity.values().cloned().collect()
    }

    /// The assets from `start` on, in the same order, up to the first that is not wanted.
    pub(crate) fn range(&self, start: Bound<&Identity>, wanted: impl Fn(&Asset) -> bool) -> Vec<Arc<Asset>> {
        let index = self.read();
        let assets = index.by_identity.range::<Identity, _>((start, Bound::Unbounded));
        assets.map(|(_, asset)| asset).take_while(|asset| wanted(asset)).cloned().collect()
    }

    /// Of two concurrent first uploads exactly one is [`Put::Stored`].
    pub(crate) fn put(&self, new: NewAsset, staged: StagedFile, overwrite: bool) -> io::Result<Put> {
        let _guard = self.lock(&new.identity);
        let old = self.get(&new.identity);
        if let (Some(old), false) = (&old, overwrite) {
            return Ok(Put::Existing(old.clone()));
        }
        let now = u64::try_from(new.now).unwrap_or_default();
        let asset = Arc::new(Asset {
            identity: new.identity,
            asset_id: old.as_ref().map_or_else(random_hex, |old| old.asset_id.clone()),
            version: old.as_ref().map_or(now, |old| now.max(old.version + 1)),
            version_id: random_hex(),
            created_at: new.now,
            bytes: staged.len,
            md5: staged.md5.clone(),
            format: new.media.format.map(str::to_owned),
            width: new.media.width,
            height: new.media.height,
            original_filename: new.original_filename,
            labels: new.labels,
        });
        let blob = self.blob_path(&asset);
        staged.persist(&blob)?;
        if let Err(error) = self.write(&asset) {
            let _ = fs::remove_file(&blob);
            return Err(error);
        }
        self.index().insert(asset.clone());
        let Some(old) = old else { return Ok(Put::Stored(asset)) };
        self.remove_bytes(&old);
        Ok(Put::Overwritten(asset))
    }

    /// Removes an asset, and answers with it; `None` if there is none.
    pub(crate) fn remove(&self, identity: &Identity) -> io::Result<Option<Arc<Asset>>> {
        let _guard = self.lock(identity);
        let Some(asset) = self.get(identity) else { return Ok(None) };
        fs::remove_file(self.description_path(&asset.asset_id))?;
        self.index().remove(identity);
        self.remove_bytes(&asset);
        Ok(Some(asset))
    }

    /// Gives an asset another identity; asset id, version and bytes stay. `overwrite` removes an asset that has it
    /// already.
    pub(crate) fn rename(&self, from: &Identity, to: &Identity, overwrite: bool) -> Result<Arc<Asset>, RenameError> {
        let _guards = self.lock_both(from, to);
        let asset = self.get(from).ok_or(RenameError::NotFound)?;
        let target = self.get(to).filter(|target| target.asset_id != asset.asset_id);
        if target.is_some() && !overwrite {
            return Err(RenameError::Taken);
        }
        let renamed = Arc::new(Asset { identity: to.clone(), ..asset.as_ref().clone() });
        if let Some(target) = &target {
            fs::remove_file(self.description_path(&target.asset_id))?;
            self.index().remove(to);
        }
        self.write(&renamed)?;
        let mut index = self.index();
        index.remove(from);
        index.insert(renamed.clone());
        drop(index);
        if let Some(target) = target {
            self.remove_bytes(&target);
        }
        Ok(renamed)
    }

    /// Changes an asset's labels; `None` if there is no such asset.
    pub(crate) fn relabel(
        &self,
        identity: &Identity,
        change: impl FnOnce(&mut Labels),
    ) -> io::Result<Option<Arc<Asset>>> {
        let _guard = self.lock(identity);
        let Some(asset) = self.get(identity) else { return Ok(None) };
        let mut asset = asset.as_ref().clone();
        change(&mut asset.labels);
        let asset = Arc::new(asset);
        self.write(&asset)?;
        self.index().insert(asset.clone());
        Ok(Some(asset))
    }

    fn write(&self, asset: &Asset) -> io::Result<()> {
        let temp = TempPath::new_in(&self.folders.incoming);
        fs::write(temp.path(), serde_json::to_vec(asset)?)?;
        temp.persist(&self.description_path(&asset.asset_id))
    }

    /// No description names these files any more. What cannot be removed now is removed at the next start.
    fn remove_bytes(&self, asset: &Asset) {
        let _ = fs::remove_file(self.blob_path(asset));
        let _ = fs::remove_dir_all(self.derived(asset));
    }

    fn description_path(&self, asset_id: &str) -> PathBuf {
        self.folders.descriptions.join(format!("{asset_id}.json"))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self, identity: &Identity) -> Option<MutexGuard<'_, ()>> {
        self.locks.get(shard(identity)).map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Always locks in the same order, so that two renames never wait for each other.
    fn lock_both(&self, one: &Identity, two: &Identity) -> Vec<MutexGuard<'_, ()>> {
        let mut shards = vec![shard(one), shard(two)];
        shards.sort_unstable();
        shards.dedup();
        let locks = shards.into_iter().filter_map(|shard| self.locks.get(shard));
        locks.map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

fn shard(identity: &Identity) -> usize {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or_default()
}

fn random_hex() -> String {
    Uuid::new_v4().simple().to_string()
}

fn data_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Data { path: path.to_owned(), source }
}

fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(data_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DataInUse { path: root.to_owned() }),
        Err(TryLockError::Error(source)) => Err(data_error(&path)(source)),
    }
}

fn load(folders: &Folders) -> Result<Index, Error> {
    let mut index = Index::default();
    for path in files(&folders.descriptions)? {
        let text = fs::read(&path).map_err(data_error(&path))?;
        let asset: Asset =
            serde_json::from_slice(&text).map_err(|source| Error::Metadata { path: path.clone(), source })?;
        index.insert(Arc::new(asset));
    }
    let known: HashSet<String> = index.by_identity.values().map(|asset| asset.blob()).collect();
    for path in files(&folders.blobs)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !known.contains(&name) {
            fs::remove_file(&path).map_err(data_error(&path))?;
        }
    }
    Ok(index)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(data_error(folder))?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    paths.map_err(data_error(folder))
}
