//! Signing firmware images: makes the key, and puts an image and its signature into one file.
//!
//! The private key is 32 bytes of Ed25519 seed in hex, in a file that only its owner reads; it
//! belongs on the machine that releases firmware, not on the controller. The public key goes into
//! the configuration block of every node that is to take these images.

use super::{BOARDS, Board, elf};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use shared::image::{file_head, marked, read_file, unsigned_head};
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Bits of a mode that let somebody else than the owner in.
const OTHERS: u32 = 0o077;

/// Makes a key that does not exist yet, and prints its public half.
///
/// # Errors
/// When the file exists or cannot be written.
pub(crate) fn new_key(path: &Path) -> Result<(), String> {
    let mut seed = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut seed))
        .map_err(|why| format!("cannot read random numbers: {why}"))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|why| format!("cannot make {}: {why}", path.display()))?;
    writeln!(file, "{}", hex(&seed))
        .and_then(|()| file.sync_all())
        .map_err(|why| format!("cannot write {}: {why}", path.display()))?;
    println!(
        "private key: {} (keep it where releases are made)",
        path.display()
    );
    println!(
        "public key:  {}",
        hex(SigningKey::from_bytes(&seed).verifying_key().as_bytes())
    );
    Ok(())
}

/// Signs an image of a board; `image` is its ELF file, by default the one that was built last.
///
/// # Errors
/// When key or image cannot be read, or the image is not what it is said to be.
pub(crate) fn run(key: &Path, board: &str, image: Option<&Path>, out: Option<&Path>) -> Result<(), String> {
    let board = BOARDS
        .iter()
        .find(|known| known.board.name() == board)
        .ok_or_else(|| format!("no board `{board}`"))?;
    let key = read_key(key)?;
    let source = image.map_or_else(|| board.elf(board.board.name()), Path::to_path_buf);
    let bytes = fs::read(&source).map_err(|why| {
        format!(
            "cannot read {}: {why}; `cargo xtask firmware {}` builds it",
            source.display(),
            board.board.name()
        )
    })?;
    let (file, version) =
        signed(&key, board, &bytes).map_err(|why| format!("{}: {why}", source.display()))?;
    let out = out.map_or_else(
        || PathBuf::from(format!("{}-{version}.yimg", board.board.name())),
        Path::to_path_buf,
    );
    fs::write(&out, &file).map_err(|why| format!("cannot write {}: {why}", out.display()))?;
    println!(
        "{}: {} {version}, {} bytes",
        out.display(),
        board.board.name(),
        file.len()
    );
    println!(
        "signed for nodes with the update key {}",
        hex(key.verifying_key().as_bytes())
    );
    Ok(())
}

/// The file that the controller sends, and the version in it.
fn signed(key: &SigningKey, board: &Board, elf: &[u8]) -> Result<(Vec<u8>, shared::wire::Version), String> {
    let Some(slot) = &board.slot else {
        return Err("this board has no room for a second image and takes none over the network".to_owned());
    };
    let image = elf::flat(elf, slot.origin, slot.len)
        .ok_or("no ELF file with a program in the slot of this board")?;
    let (marked_for, version) = marked(&image).ok_or("the image does not say for which board it is")?;
    if marked_for != board.board {
        return Err(format!("it is an image for {}", marked_for.name()));
    }
    let mut head = unsigned_head(board.board, version, &image);
    let signature = key.sign(&head.signed());
    head.signature = (*signature.r_bytes(), *signature.s_bytes());
    let file = [&file_head(&head)[..], &image].concat();
    // What a node will do, done once here.
    let (read, _) = read_file(&file).map_err(|why| why.to_string())?;
    check(&key.verifying_key(), &read)?;
    Ok((file, version))
}

fn check(key: &VerifyingKey, head: &shared::wire::ImageHead) -> Result<(), String> {
    let (r, s) = head.signature;
    key.verify_strict(&head.signed(), &ed25519_dalek::Signature::from_components(r, s))
        .map_err(|_| "the signature does not fit the key".to_owned())
}

/// Reads a private key that only its owner can read.
fn read_key(path: &Path) -> Result<SigningKey, String> {
    let shown = path.display();
    let mode = fs::metadata(path)
        .map_err(|why| format!("cannot read {shown}: {why}"))?
        .permissions()
        .mode();
    if mode & OTHERS != 0 {
        return Err(format!("others can read the private key: chmod 600 {shown}"));
    }
    let text = fs::read_to_string(path).map_err(|why| format!("cannot read {shown}: {why}"))?;
    let seed = unhex(text.trim()).ok_or_else(|| format!("{shown} is no private key: 64 hex digits"))?;
    Ok(SigningKey::from_bytes(&seed))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::image::{FILE_HEAD_LEN, mark};
    use shared::wire::Version;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[9; 32])
    }

    fn known(board: shared::board::Board) -> &'static Board {
        BOARDS.iter().find(|known| known.board == board).unwrap()
    }

    /// An ELF file of one segment in the slot of the RP2040.
    fn elf(bytes: &[u8]) -> Vec<u8> {
        let mut file = [0; 84];
        file[..6].copy_from_slice(b"\x7fELF\x01\x01");
        let words = [(28, 52), (52, 1), (56, 84), (64, 0x1000_7000)];
        for (at, value) in words.into_iter().chain([(68, bytes.len() as u32)]) {
            file[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        }
        file[42..46].copy_from_slice(&[32, 0, 1, 0]);
        [&file[..], bytes].concat()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("yagura-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_signed_file_carries_the_program_and_what_it_says_it_is() {
        let rp2040 = shared::board::Board::Rp2040W5500;
        let program = [&[1; 100][..], &mark(rp2040, Version(0, 4, 2)), &[2; 50]].concat();
        let (file, version) = signed(&key(), known(rp2040), &elf(&program)).unwrap();
        assert_eq!(
            (version, &file[FILE_HEAD_LEN..]),
            (Version(0, 4, 2), &program[..])
        );
        let (head, _) = read_file(&file).unwrap();
        assert_eq!((head.board, head.version), (rp2040.number(), version));
        assert_eq!(check(&key().verifying_key(), &head), Ok(()));
        assert!(check(&SigningKey::from_bytes(&[8; 32]).verifying_key(), &head).is_err());
    }

    #[test]
    fn an_image_is_not_signed_as_what_it_is_not() {
        use shared::board::Board::{Lm3s6965, Rp2040W5500, Stm32f767zi};
        let foreign = elf(&mark(Stm32f767zi, Version(1, 0, 0)));
        let refusal = |board, file: &[u8]| signed(&key(), known(board), file).unwrap_err();
        assert!(refusal(Rp2040W5500, &foreign).contains("stm32f767zi"));
        assert!(refusal(Rp2040W5500, &elf(&[0; 64])).contains("does not say"));
        assert!(refusal(Rp2040W5500, b"#!/bin/sh").contains("no ELF file"));
        assert!(refusal(Lm3s6965, &foreign).contains("no room"));
    }

    #[test]
    fn a_private_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = folder("signing-key");
        let path = folder.join("release.key");
        new_key(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let made = read_key(&path).unwrap();
        assert!(new_key(&path).is_err(), "it is not written over");
        assert_eq!(read_key(&path).unwrap(), made);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_key(&path).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "not hex", &"ä".repeat(32), &"0".repeat(63)] {
            fs::write(&path, text).unwrap();
            assert!(read_key(&path).is_err(), "{text:?}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
