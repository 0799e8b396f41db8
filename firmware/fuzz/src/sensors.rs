//! What wires and parts can send to the drivers of sensors.

use crate::rig::Bytes;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use node::drivers::modbus_probe::{ANSWER_MS, ATTEMPTS, Probe};
use node::parts::Parts;
use shared::limit::MAX_CHANNELS;
use shared::mount::{Mount, Part, ROW_LEN};

/// Everything that may be on the line of the Modbus probes, in pieces of any length at any time.
pub fn modbus(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mount = |id, output| Some(Mount::new(Part::ModbusProbe, id, output));
    let mut probe = Probe::new(&[mount(1, 0), mount(1, 1), mount(2, 0)]);
    let (mut now_ms, mut told, mut proven) = (0_u64, 0, 0);
    while let Some(wait) = bytes.next() {
        now_ms += u64::from(wait);
        let mut tell = |_, reading: Result<i32, _>| {
            told += 1;
            proven += u32::from(reading.is_ok());
        };
        let asked = probe.poll(now_ms, &mut tell).is_some();
        assert!(!asked || probe.next_ms() == Some(now_ms + ANSWER_MS));
        let len = usize::from(bytes.next_or(0)) % 32;
        probe.feed(bytes.take_some(len), now_ms, &mut tell);
    }
    let counters = probe.counters();
    assert!(proven <= 2 * counters.answered, "a value without a proven answer");
    assert!(counters.answered + counters.refused <= counters.asked);
    // However it was disturbed: a good answer is understood as soon as the line is quiet.
    let mut good = 0;
    // Each of the two units may still have all its questions before it.
    for _ in 0..4 * u32::from(ATTEMPTS) {
        now_ms = probe.next_ms().map_or(now_ms, |next_ms| next_ms.max(now_ms));
        let mut tell = |channel, reading| good += u32::from((channel, reading) == (0, Ok(30_500)));
        if let Some([1, ..]) = probe.poll(now_ms, &mut tell) {
            let answer = [0x01, 0x04, 0x04, 0x01, 0x31, 0x02, 0x22, 0x2a, 0xce];
            probe.feed(&answer, now_ms, &mut tell);
        }
    }
    assert!(good > 0, "the line never recovers");
}

/// A bus whose parts answer what the input says, or not at all.
struct Wild<'a>(Bytes<'a>);

impl ErrorType for Wild<'_> {
    type Error = ErrorKind;
}

impl I2c for Wild<'_> {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        for operation in operations {
            match self.0.next_or(0) {
                0 => return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)),
                1 => return Err(ErrorKind::ArbitrationLoss),
                _ => {}
            }
            if let Operation::Read(into) = operation {
                let said = self.0.take_some(into.len());
                into[..said.len()].copy_from_slice(said);
            }
        }
        Ok(())
    }
}

/// A mount table of noise, on a bus of noise.
pub fn parts(data: &[u8]) {
    let mut bytes = Bytes(data);
    let rows = usize::from(bytes.next_or(0)) % (MAX_CHANNELS + 1);
    let mounts: Vec<Option<Mount>> = (0..rows)
        .map(|_| Mount::decode(bytes.take_some(ROW_LEN).try_into().ok()?))
        .collect();
    let mut parts = Parts::new(&mounts, bytes.next_or(0) & 1 == 1);
    let mut bus = Wild(bytes);
    let mut now_ms = 0;
    // As long as there are answers, and looks that need none.
    let mut idle = 0;
    while idle < 64 {
        let before = bus.0.0.len();
        let mut tell = |channel: u8, _| {
            let mount = mounts.get(usize::from(channel)).copied().flatten();
            assert!(mount.is_some(), "channel {channel} is not mounted");
        };
        let polled = parts.poll(&mut bus, now_ms & 64 == 0, now_ms, &mut tell);
        assert!(polled.next_ms <= now_ms + 65_535, "nobody is forgotten");
        now_ms = polled.next_ms.max(now_ms + 1);
        idle += u32::from(before == bus.0.0.len());
    }
}
