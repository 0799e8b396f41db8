//! What the node believes of what comes down to it.
//!
//! A downward frame counts when its tag is right, it is meant for this node and for this boot,
//! and its counter is higher than every one before. The boot number makes frames recorded
//! before a restart worthless, so the counter need not survive one.

use shared::wire::{DeviceKey, Direction, Down, Envelope, Header, Refusal, Stream};

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
    pub fn accept(&mut self, key: &DeviceKey, payload: &[u8]) -> Result<(Header, Down), Refusal> {
        let authentic = Envelope::parse(payload)
            .and_then(|envelope| envelope.verify(key, Direction::Down, Stream::Command))
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
        Ok((header, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::wire::{VERSION, seal_down, seal_up};

    fn key() -> DeviceKey {
        DeviceKey::new([7; 32])
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
        assert!(guard.accept(&key(), &frame(&header(5))).is_ok());
        for seq in [5, 4, 1, 0] {
            assert_eq!(guard.accept(&key(), &frame(&header(seq))), Err(Refusal::Replayed));
        }
        assert!(guard.accept(&key(), &frame(&header(6))).is_ok());
    }

    #[test]
    fn for_another_node_or_boot_is_misdirected() {
        let mut guard = Guard::new(7, 3);
        for other in [
            Header { node: 8, ..header(1) },
            Header { boot: 2, ..header(1) },
            Header { boot: 4, ..header(1) },
        ] {
            assert_eq!(guard.accept(&key(), &frame(&other)), Err(Refusal::Misdirected));
        }
        assert!(guard.accept(&key(), &frame(&header(1))).is_ok());
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
            assert_eq!(guard.accept(&key(), &bad), Err(Refusal::Forged));
        }
        assert!(guard.accept(&key(), &good).is_ok());
    }
}
