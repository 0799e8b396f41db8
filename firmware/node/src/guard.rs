//! What the node believes of what comes down to it.
//!
//! A downward frame counts when its tag is right, it is meant for this node and for this boot,
//! and its counter is higher than every one before. The boot number makes frames recorded
//! before a restart worthless, so the counter need not survive one.
//!
//! After a rotation the previous key is believed until the first frame with the new one.

use crate::identity::Keys;
use shared::wire::{Direction, Down, Envelope, Header, Refusal, Stream};

/// A frame that is let through.
#[derive(Debug)]
pub struct Accepted {
    /// Its proven header.
    pub header: Header,
    /// What it asks for.
    pub body: Down,
    /// It is sealed with the current key, not with the previous one.
    pub current: bool,
}

/// Keeps the counter.
#[derive(Debug)]
pub struct Guard {
    node: u16,
    boot: u32,
    last: u32,
}

impl Guard {
    /// For this node and boot.
    #[must_use]
    pub const fn new(node: u16, boot: u32) -> Self {
        Self { node, boot, last: 0 }
    }

    /// Lets a frame through once.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn accept(&mut self, keys: &Keys, payload: &[u8]) -> Result<Accepted, Refusal> {
        let envelope = Envelope::parse(payload).map_err(|_| Refusal::Forged)?;
        // The number says which key to try; the tag says whether it was true.
        let previous = keys
            .previous
            .as_ref()
            .filter(|key| key.id == envelope.header.key_id);
        let current = previous.is_none();
        let authentic = envelope
            .verify(
                &previous.unwrap_or(&keys.current).key,
                Direction::Down,
                Stream::Command,
            )
            .map_err(|_| Refusal::Forged)?;
        let header = authentic.header;
        if (header.node, header.boot) != (self.node, self.boot) {
            return Err(Refusal::Misdirected);
        }
        if header.seq <= self.last {
            return Err(Refusal::Replayed);
        }
        // The counter is used up also when the body is of a later version.
        self.last = header.seq;
        let body = authentic.down().map_err(|_| Refusal::Unknown)?;
        Ok(Accepted {
            header,
            body,
            current,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NumberedKey;
    use crate::memory::fake::Random;
    use shared::wire::{DeviceKey, VERSION, seal_down, seal_up};

    fn key() -> DeviceKey {
        DeviceKey::new([7; 32])
    }

    fn numbered(id: u8, fill: u8) -> NumberedKey {
        NumberedKey {
            id,
            key: DeviceKey::new([fill; 32]),
        }
    }

    fn keys() -> Keys {
        Keys {
            current: numbered(0, 7),
            previous: None,
            told: false,
        }
    }

    fn header(seq: u32) -> Header {
        Header {
            ver: VERSION,
            key_id: 0,
            node: 7,
            boot: 3,
            stream: Stream::Command,
            seq,
            up_ms: 0,
            unix_ms: 0,
        }
    }

    fn frame(header: &Header) -> std::vec::Vec<u8> {
        seal_down(&key(), header, &Down::Report).unwrap().to_vec()
    }

    #[test]
    fn a_frame_counts_once_and_never_backwards() {
        let mut guard = Guard::new(7, 3);
        assert!(guard.accept(&keys(), &frame(&header(5))).is_ok());
        for seq in [5, 4, 1, 0] {
            assert_eq!(
                guard.accept(&keys(), &frame(&header(seq))).unwrap_err(),
                Refusal::Replayed
            );
        }
        assert!(guard.accept(&keys(), &frame(&header(6))).is_ok());
    }

    #[test]
    fn for_another_node_or_boot_is_misdirected() {
        let mut guard = Guard::new(7, 3);
        for other in [
            Header { node: 8, ..header(1) },
            Header { boot: 2, ..header(1) },
            Header { boot: 4, ..header(1) },
        ] {
            assert_eq!(
                guard.accept(&keys(), &frame(&other)).unwrap_err(),
                Refusal::Misdirected
            );
        }
        assert!(guard.accept(&keys(), &frame(&header(1))).is_ok());
    }

    #[test]
    fn forged_and_damaged_frames_do_not_move_the_counter() {
        let mut guard = Guard::new(7, 3);
        let good = frame(&header(9));
        let other_key = seal_down(&DeviceKey::new([8; 32]), &header(9), &Down::Report).unwrap();
        let echo = seal_up(&key(), &header(9), &shared::wire::Up::SensorBack { channel: 0 }).unwrap();
        let truncations = (0..good.len()).map(|len| good[..len].to_vec());
        let flips = (0..good.len() * 8).map(|bit| {
            let mut damaged = good.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged
        });
        for bad in truncations
            .chain(flips)
            .chain([other_key.to_vec(), echo.to_vec(), vec![0; 500]])
        {
            assert_eq!(guard.accept(&keys(), &bad).unwrap_err(), Refusal::Forged);
        }
        assert!(guard.accept(&keys(), &good).is_ok());
    }

    #[test]
    fn the_previous_key_is_believed_as_long_as_it_is_kept() {
        let mut guard = Guard::new(7, 3);
        let with = |id, fill, seq| {
            let header = Header {
                key_id: id,
                ..header(seq)
            };
            seal_down(&DeviceKey::new([fill; 32]), &header, &Down::Report).unwrap()
        };
        let mut keys = Keys {
            current: numbered(2, 8),
            previous: Some(numbered(1, 7)),
            told: false,
        };
        assert!(!guard.accept(&keys, &with(1, 7, 1)).unwrap().current);
        assert!(guard.accept(&keys, &with(2, 8, 2)).unwrap().current);
        // The previous key under its own number only, and nothing else under that.
        for (id, fill) in [(1, 8), (2, 7), (3, 7), (0, 9)] {
            assert_eq!(
                guard.accept(&keys, &with(id, fill, 9)).unwrap_err(),
                Refusal::Forged
            );
        }
        keys.drop_previous();
        assert_eq!(guard.accept(&keys, &with(1, 7, 3)).unwrap_err(), Refusal::Forged);
    }

    #[test]
    fn neither_noise_nor_our_own_frames_are_believed() {
        let mut guard = Guard::new(7, 3);
        for seed in 1..=2_000 {
            let mut random = Random(seed);
            let len = random.below(400) as usize;
            let noise: std::vec::Vec<u8> = (0..len).map(|_| random.byte()).collect();
            assert_eq!(guard.accept(&keys(), &noise).unwrap_err(), Refusal::Forged);
            // Upward frames take any body; as a downward one it must not be believed.
            let body = &noise[..len.min(60)];
            let frame = shared::wire::seal_up_raw(&key(), &header(seed as u32), body).unwrap();
            assert_eq!(guard.accept(&keys(), &frame).unwrap_err(), Refusal::Forged);
        }
    }
}
