//! Signed firmware images: read from their folder when an operator orders an update.
//!
//! A name from outside names a file of this one folder and nothing else. Reading happens beside
//! the loop, one image at a time and bounded in length; whether it is an image decides the engine,
//! and whether it may run decides the node.

use super::run::reply;
use crate::link::ToWeb;
use room::event::{Command, Refused};
use shared::image::{FILE_HEAD_LEN, MAX_IMAGE};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Semaphore, mpsc};

/// The folder below the data folder.
pub(super) const FOLDER: &str = "firmware";
/// Where the command line puts an image for core to read.
#[must_use]
pub fn firmware_folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// Longest name of an image; the API refuses longer ones before they get here.
pub const MAX_NAME: usize = 64;
/// Images that are read or wait for the loop; with their length this bounds the memory.
const MAX_LOADS: usize = 2;

/// A command whose image was read.
pub(super) struct Loaded {
    pub token: u64,
    pub by: String,
    pub answer: mpsc::Sender<ToWeb>,
    pub result: Result<Command, Refused>,
}

/// Reads images for the loop.
pub(super) struct Images {
    folder: PathBuf,
    out: mpsc::Sender<Loaded>,
    free: Arc<Semaphore>,
}

impl Images {
    /// From this folder, and what they come out of.
    pub(super) fn of(folder: PathBuf) -> (Self, mpsc::Receiver<Loaded>) {
        let (out, loaded) = mpsc::channel(MAX_LOADS);
        let free = Arc::new(Semaphore::new(MAX_LOADS));
        (Self { folder, out, free }, loaded)
    }

    /// The way back into the loop, for other commands that something is read for first.
    pub(super) fn way_back(&self) -> mpsc::Sender<Loaded> {
        self.out.clone()
    }

    /// Reads the image of an order; the loop goes on meanwhile.
    pub(super) fn load(
        &self,
        node: String,
        file: String,
        token: u64,
        by: String,
        answer: mpsc::Sender<ToWeb>,
    ) {
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            let why = "other images are being read; order it again in a moment".to_owned();
            reply(&answer, token, Err(Refused::Unavailable(why)));
            return;
        };
        let (folder, out) = (self.folder.clone(), self.out.clone());
        tokio::spawn(async move {
            let result = read(&folder, &file)
                .await
                .map(|image| Command::UpdateNode { node, file, image });
            let loaded = Loaded {
                token,
                by,
                answer,
                result,
            };
            // A loop that has ended needs no image.
            let _ = out.send(loaded).await;
            drop(place);
        });
    }
}

async fn read(folder: &Path, file: &str) -> Result<Vec<u8>, Refused> {
    if !is_name(file) {
        return Err(Refused::invalid(
            format!("イメージの名前は英数字、点、ハイフン、下線で {MAX_NAME} 文字までです"),
            format!("the name of an image has 1 to {MAX_NAME} letters, digits, dots, dashes or underscores"),
        ));
    }
    let path = folder.join(file);
    let open = tokio::fs::File::open(&path).await.map_err(|error| {
        let text = format!("{}: {error}; put the signed image there", path.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => Refused::not_found(
                format!(
                    "{} がありません。署名済みのイメージを置いてください",
                    path.display()
                ),
                text,
            ),
            _ => Refused::Unavailable(text),
        }
    })?;
    let most = FILE_HEAD_LEN + MAX_IMAGE;
    let mut image = Vec::new();
    let read = open.take(most as u64 + 1).read_to_end(&mut image).await;
    match read {
        Err(error) => Err(Refused::Unavailable(format!("{}: {error}", path.display()))),
        Ok(length) if length > most => Err(Refused::invalid(
            format!("{file} はイメージの大きさ（{most} バイトまで）を超えています"),
            format!("{file} is longer than any image ({most} bytes)"),
        )),
        Ok(_) => Ok(image),
    }
}

fn is_name(file: &str) -> bool {
    (1..=MAX_NAME).contains(&file.len())
        && !file.starts_with('.')
        && file
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn load(folder: &Path, file: &str) -> Loaded {
        let (images, mut loaded) = Images::of(folder.to_owned());
        let (answer, _unread) = mpsc::channel(1);
        images.load("node-1".to_owned(), file.to_owned(), 7, "x".to_owned(), answer);
        loaded.recv().await.unwrap()
    }

    #[tokio::test]
    async fn an_image_of_the_folder_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("node-1.5.0.img"), [7; 10_000]).unwrap();
        let loaded = load(folder.path(), "node-1.5.0.img").await;
        let Ok(Command::UpdateNode { node, file, image }) = loaded.result else {
            panic!("{:?}", loaded.result);
        };
        assert_eq!(
            (node.as_str(), file.as_str(), loaded.token),
            ("node-1", "node-1.5.0.img", 7)
        );
        assert!(image == [7; 10_000]);
    }

    #[tokio::test]
    async fn nothing_outside_of_the_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("firmware")).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["../secret", "/etc/hostname", "", ".hidden", "a/b", "a\0b", &long] {
            let loaded = load(&folder.path().join("firmware"), name).await;
            assert!(matches!(loaded.result, Err(Refused::Invalid(_))), "{name:?}");
        }
        let loaded = load(&folder.path().join("firmware"), "absent.img").await;
        assert!(matches!(loaded.result, Err(Refused::NotFound(_))));
    }

    #[tokio::test]
    async fn a_file_without_end_is_refused_and_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("endless")).unwrap();
        file.set_len(1 << 40).unwrap();
        let loaded = load(folder.path(), "endless").await;
        assert!(matches!(loaded.result, Err(Refused::Invalid(_))));
    }
}
