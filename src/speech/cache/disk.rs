//! Static audio on disk: one WAV file per text, named by its key.
//!
//! Files are readable by us alone and written whole or not at all. A file that does not read is as good as none.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use super::locked;
use crate::speech::audio::{Pcm, wav};

pub(super) struct Disk {
    folder: PathBuf,
    max_bytes: u64,
    /// Bytes in the folder; held while it is written to.
    bytes: Mutex<u64>,
}

impl Disk {
    pub(super) fn open(folder: &Path, max_bytes: u64) -> std::io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut bytes = 0;
        for (path, size, _) in files(folder)? {
            // Left behind by a kill in the middle of a write.
            if path.extension().is_some_and(|extension| extension == "tmp") {
                std::fs::remove_file(path)?;
            } else {
                bytes += size;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            max_bytes,
            bytes: Mutex::new(bytes),
        })
    }

    pub(super) fn read(&self, name: &str) -> Option<Pcm> {
        let bytes = std::fs::read(self.path(name)).ok()?;
        wav::decode(&bytes).filter(|pcm| !pcm.samples().is_empty())
    }

    /// Writes a file and, when the folder is full, removes the oldest ones first.
    pub(super) fn write(&self, name: &str, pcm: &Pcm) -> std::io::Result<()> {
        let content = wav::encode(pcm).map_err(std::io::Error::other)?;
        let size = content.len() as u64;
        if size > self.max_bytes {
            return Ok(());
        }
        let mut bytes = locked(&self.bytes);
        if *bytes + size > self.max_bytes {
            *bytes = self.make_room(size)?;
        }
        let temporary = self.folder.join(format!("{name}.tmp"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&content)?;
        std::fs::rename(&temporary, self.path(name))?;
        *bytes += size;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.wav"))
    }

    /// Removes the oldest files until `needed` more bytes fit; the bytes that are left.
    fn make_room(&self, needed: u64) -> std::io::Result<u64> {
        let mut files = files(&self.folder)?;
        files.sort_by_key(|(_, _, modified)| *modified);
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (path, size, _) in files {
            if total + needed <= self.max_bytes {
                break;
            }
            std::fs::remove_file(path)?;
            total -= size;
        }
        Ok(total)
    }
}

fn files(folder: &Path) -> std::io::Result<Vec<(PathBuf, u64, SystemTime)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            found.push((entry.path(), metadata.len(), metadata.modified()?));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn pcm() -> Pcm {
        Pcm::from_i16(&[100; 1_000], 16_000)
    }

    #[test]
    fn files_are_for_us_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let inner = folder.path().join("cache");
        let disk = Disk::open(&inner, 100_000).expect("writable");
        disk.write("a", &pcm()).expect("writable");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&inner.join("a.wav"))), (0o700, 0o600));
        assert_eq!(disk.read("a"), Some(pcm()));
    }

    #[test]
    fn the_folder_is_bounded_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("temporary folder");
        // Each file has 2,044 bytes.
        for round in 0..2 {
            let disk = Disk::open(folder.path(), 5_000).expect("writable");
            for name in ["a", "b", "c", "d"] {
                disk.write(&format!("{name}{round}"), &pcm()).expect("writable");
                assert!(files(folder.path()).expect("a folder").len() <= 2);
            }
            assert!(disk.read(&format!("d{round}")).is_some());
        }
    }

    #[test]
    fn a_broken_or_half_written_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("a.wav"), b"RIFF").expect("writable");
        std::fs::write(folder.path().join("b.tmp"), b"half").expect("writable");
        let disk = Disk::open(folder.path(), 5_000).expect("writable");
        assert!(disk.read("a").is_none());
        assert!(!folder.path().join("b.tmp").exists());
    }
}
