//! Synthesized speech that was needed before.
//!
//! Where audio is kept follows from the [`Class`] of its text: static texts on disk and in memory, personal ones in
//! memory until the call ends ([`PersonalScope`]), passwords never (they are not synthesized). Both memories are
//! bounded by bytes; when one is full, what was not used for longest goes.
//!
//! Of several calls that need the same text at once, one renders it and the others wait.

mod disk;
mod lru;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::audio::{Pcm, STORED_RATE_HZ};
use super::synthesizer::{Class, Identity, Rate, Text};
use crate::language::Language;
use crate::telephony::codec::{Clip, Codec};
use disk::Disk;
use lru::Lru;

/// The cache in the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder for static texts; without one they are kept in memory only.
    pub folder: Option<PathBuf>,
    /// Most bytes in the folder. One sentence takes about 100 kB.
    pub max_disk_bytes: u64,
    /// Most bytes of static audio in memory. One sentence takes about 50 kB.
    pub max_static_bytes: usize,
    /// Most bytes of personal audio in memory: room for the questions of 300 calls at once.
    pub max_personal_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: None,
            max_disk_bytes: 200 << 20,
            max_static_bytes: 32 << 20,
            max_personal_bytes: 64 << 20,
        }
    }
}

/// Names a rendering: a hash of everything that the audio depends on, so that a text cannot be read from it in passing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of `text` as spoken by an engine.
    #[must_use]
    pub fn new(text: &Text, engine: &Identity, language: &Language, rate: Rate) -> Self {
        let mut hash = Sha256::new();
        for part in [
            text.as_str(),
            engine.engine,
            &engine.version,
            &engine.voice,
            language.as_str(),
            &rate.as_percent().to_string(),
            &STORED_RATE_HZ.to_string(),
        ] {
            // The length keeps "ab" + "c" apart from "a" + "bc".
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A hash of a short personal text can be guessed: it is not printed either.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// The cache. Cloning shares it.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    fixed: Mutex<Lru<Key>>,
    personal: Mutex<Lru<(Owner, Key)>>,
    disk: Option<Disk>,
    /// One lock per text that is being rendered.
    renders: Mutex<HashMap<RenderName, Arc<tokio::sync::Mutex<()>>>>,
    next_owner: AtomicU64,
}

type Owner = u64;

/// A text that is being rendered, for everyone or for one call.
type RenderName = (Option<Owner>, Key);

impl Cache {
    /// An empty memory over the folder of the configuration.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(config: &Config) -> std::io::Result<Self> {
        let disk = config
            .folder
            .as_ref()
            .map(|folder| Disk::open(folder, config.max_disk_bytes))
            .transpose()?;
        Ok(Self(Arc::new(Shared {
            fixed: Mutex::new(Lru::new(config.max_static_bytes)),
            personal: Mutex::new(Lru::new(config.max_personal_bytes)),
            disk,
            renders: Mutex::default(),
            next_owner: AtomicU64::new(0),
        })))
    }

    /// A place for the personal texts of one call.
    #[must_use]
    pub fn personal_scope(&self) -> PersonalScope {
        PersonalScope {
            cache: self.clone(),
            owner: self.0.next_owner.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The audio of a text: from the cache, or by `render` and then kept according to the class of the text.
    ///
    /// A personal text without a `scope` is kept nowhere.
    ///
    /// # Errors
    /// Those of `render`.
    pub async fn get_or_render<E>(
        &self,
        key: Key,
        class: Class,
        scope: Option<&PersonalScope>,
        render: impl Future<Output = Result<(Pcm, Clip), E>>,
    ) -> Result<Clip, E> {
        let place = match (class, scope) {
            (Class::Static, _) => Place::Static(key),
            (Class::Personal, Some(scope)) => Place::Personal(scope.owner, key),
            (Class::Personal, None) => return render.await.map(|(_, clip)| clip),
        };
        if let Some(clip) = self.in_memory(place) {
            return Ok(clip);
        }
        let turn = Turn::take(&self.0, place);
        let _mine = turn.lock.lock().await;
        if let Some(clip) = self.in_memory(place) {
            return Ok(clip);
        }
        if let Some(clip) = self.on_disk(place).await {
            self.keep_in_memory(place, &clip);
            return Ok(clip);
        }
        let (pcm, clip) = render.await?;
        self.keep_in_memory(place, &clip);
        self.keep_on_disk(place, pcm).await;
        Ok(clip)
    }

    fn in_memory(&self, place: Place) -> Option<Clip> {
        match place {
            Place::Static(key) => locked(&self.0.fixed).get(&key),
            Place::Personal(owner, key) => locked(&self.0.personal).get(&(owner, key)),
        }
    }

    fn keep_in_memory(&self, place: Place, clip: &Clip) {
        match place {
            Place::Static(key) => locked(&self.0.fixed).insert(key, clip.clone(), size_of(clip)),
            Place::Personal(owner, key) => locked(&self.0.personal).insert((owner, key), clip.clone(), size_of(clip)),
        }
    }

    async fn on_disk(&self, place: Place) -> Option<Clip> {
        let (Place::Static(key), true) = (place, self.0.disk.is_some()) else {
            return None;
        };
        let shared = Arc::clone(&self.0);
        let read = move || shared.disk.as_ref()?.read(&key.hex())?.to_clip().ok();
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    async fn keep_on_disk(&self, place: Place, pcm: Pcm) {
        let (Place::Static(key), true) = (place, self.0.disk.is_some()) else {
            return;
        };
        let shared = Arc::clone(&self.0);
        let write = move || shared.disk.as_ref().map_or(Ok(()), |disk| disk.write(&key.hex(), &pcm));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            // The caller has the audio; only the next start will be slower.
            tracing::warn!(%error, "speech cache: could not write to disk");
        }
    }

    /// Bytes of static and of personal audio in memory, for metrics.
    #[must_use]
    pub fn memory_bytes(&self) -> (usize, usize) {
        (locked(&self.0.fixed).bytes(), locked(&self.0.personal).bytes())
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

/// Where a clip is kept.
#[derive(Clone, Copy)]
enum Place {
    Static(Key),
    Personal(Owner, Key),
}

/// Owns the personal audio of one call; dropping it forgets all of it.
pub struct PersonalScope {
    cache: Cache,
    owner: Owner,
}

impl Drop for PersonalScope {
    fn drop(&mut self) {
        locked(&self.cache.0.personal).remove_if(|(owner, _)| *owner == self.owner);
    }
}

impl fmt::Debug for PersonalScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalScope")
    }
}

/// A place in the queue of those who want the same text; the last one to leave removes the lock.
struct Turn<'a> {
    shared: &'a Shared,
    name: RenderName,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl<'a> Turn<'a> {
    fn take(shared: &'a Shared, place: Place) -> Self {
        let name = match place {
            Place::Static(key) => (None, key),
            Place::Personal(owner, key) => (Some(owner), key),
        };
        let lock = Arc::clone(locked(&shared.renders).entry(name).or_default());
        Self { shared, name, lock }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut renders = locked(&self.shared.renders);
        // One in the map, one here: nobody else waits. New waiters need the map, which we hold.
        if Arc::strong_count(&self.lock) <= 2 {
            renders.remove(&self.name);
        }
    }
}

/// Both encodings.
fn size_of(clip: &Clip) -> usize {
    Codec::ALL.into_iter().map(|codec| clip.payload(codec).len()).sum()
}

/// The data behind the locks is consistent after every statement, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    fn key(text: &str) -> Key {
        let engine = Identity {
            engine: "flite",
            version: "2.2".to_owned(),
            voice: "rms".to_owned(),
        };
        let text = Text::fixed(text).expect("words");
        Key::new(&text, &engine, &"en-US".parse().expect("a tag"), Rate::NORMAL)
    }

    fn cache(config: Config) -> Cache {
        Cache::open(&config).expect("folder can be made")
    }

    /// Renders a second of audio and counts how often.
    async fn get(cache: &Cache, text: &str, class: Class, scope: Option<&PersonalScope>, renders: &AtomicUsize) {
        let render = async {
            renders.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            let pcm = Pcm::new(vec![0.1; 16_000], 16_000);
            let clip = pcm.to_clip().expect("a usual rate");
            Ok::<_, Infallible>((pcm, clip))
        };
        let Ok(clip) = cache.get_or_render(key(text), class, scope, render).await;
        assert_eq!(clip.samples(), 8_000);
    }

    #[tokio::test]
    async fn a_static_text_is_rendered_once_and_survives_a_restart() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let config = Config {
            folder: Some(folder.path().join("speech")),
            ..Config::default()
        };
        let renders = AtomicUsize::new(0);
        let first = cache(config.clone());
        get(&first, "hello", Class::Static, None, &renders).await;
        get(&first, "hello", Class::Static, None, &renders).await;
        get(&cache(config), "hello", Class::Static, None, &renders).await;
        assert_eq!(renders.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_personal_text_never_reaches_the_disk_and_goes_with_its_call() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = cache(Config {
            folder: Some(folder.path().to_owned()),
            ..Config::default()
        });
        let renders = AtomicUsize::new(0);
        let call = cache.personal_scope();
        get(&cache, "first dog", Class::Personal, Some(&call), &renders).await;
        get(&cache, "first dog", Class::Personal, Some(&call), &renders).await;
        assert_eq!(renders.load(Ordering::SeqCst), 1);
        assert_eq!(cache.memory_bytes(), (0, 16_000));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);

        let other = cache.personal_scope();
        get(&cache, "first dog", Class::Personal, Some(&other), &renders).await;
        assert_eq!(
            renders.load(Ordering::SeqCst),
            2,
            "one call does not see the audio of another"
        );
        drop(call);
        assert_eq!(cache.memory_bytes(), (0, 16_000));
        drop(other);
        assert_eq!(cache.memory_bytes(), (0, 0));
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let cache = cache(Config {
            max_static_bytes: 40_000,
            max_personal_bytes: 40_000,
            ..Config::default()
        });
        let renders = AtomicUsize::new(0);
        let call = cache.personal_scope();
        for text in ["a", "b", "c", "d"] {
            get(&cache, text, Class::Static, None, &renders).await;
            get(&cache, text, Class::Personal, Some(&call), &renders).await;
        }
        assert_eq!(cache.memory_bytes(), (32_000, 32_000));
        get(&cache, "d", Class::Static, None, &renders).await;
        assert_eq!(renders.load(Ordering::SeqCst), 8, "the latest is kept");
        get(&cache, "a", Class::Static, None, &renders).await;
        assert_eq!(renders.load(Ordering::SeqCst), 9, "the oldest is gone");
    }

    #[tokio::test]
    async fn those_who_want_the_same_text_wait_for_one_rendering() {
        let cache = cache(Config::default());
        let renders = AtomicUsize::new(0);
        let want = || get(&cache, "hello", Class::Static, None, &renders);
        tokio::join!(want(), want(), want());
        assert_eq!(renders.load(Ordering::SeqCst), 1);
        assert!(locked(&cache.0.renders).is_empty());
    }

    #[tokio::test]
    async fn when_the_one_who_renders_hangs_up_the_next_one_does_it() {
        let cache = cache(Config::default());
        let renders = AtomicUsize::new(0);
        let endless = std::future::pending::<Result<(Pcm, Clip), Infallible>>();
        tokio::select! {
            biased;
            _ = cache.get_or_render(key("hello"), Class::Static, None, endless) => panic!("it never ends"),
            () = tokio::task::yield_now() => {}
        }
        get(&cache, "hello", Class::Static, None, &renders).await;
        assert_eq!(renders.load(Ordering::SeqCst), 1);
        assert!(locked(&cache.0.renders).is_empty());
    }

    #[test]
    fn a_key_depends_on_everything_the_audio_depends_on() {
        let text = Text::fixed("hello").expect("words");
        let engine = |version: &str, voice: &str| Identity {
            engine: "flite",
            version: version.to_owned(),
            voice: voice.to_owned(),
        };
        let make = |version, voice, tag: &str, percent| {
            Key::new(
                &text,
                &engine(version, voice),
                &tag.parse().expect("a tag"),
                Rate::percent(percent),
            )
        };
        let base = make("2.2", "rms", "en-US", 100);
        assert!(base == make("2.2", "rms", "en-US", 100));
        for other in [
            make("2.3", "rms", "en-US", 100),
            make("2.2", "slt", "en-US", 100),
            make("2.2", "rms", "en-GB", 100),
            make("2.2", "rms", "en-US", 80),
            key("hallo"),
        ] {
            assert!(base != other);
        }
    }
}
