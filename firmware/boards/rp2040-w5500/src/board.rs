//! What this board is to the tasks: its pins, its bus, its memory, its clock chip.

use crate::hal::{crash, watchdog::Watchdog};
use crate::slots::{FLASH_LEN, Partition};
use common::i2c::SoftI2c;
use common::pins::{OpenDrain, Switched, is_open};
use common::probe::{BAUD, HalfDuplex};
use core::cell::RefCell;
use core::fmt::{self, Write as _};
use embassy_rp::flash::{Blocking, Flash};
use embassy_rp::gpio::{Input, Output, OutputOpenDrain};
use embassy_rp::peripherals::{FLASH, PIO0};
use embassy_rp::pio_programs::uart::{PioUartRx, PioUartTx};
use embassy_rp::uart::BufferedUartTx;
use embassy_time::{Delay, Timer};
use embedded_hal_bus::i2c::RefCellDevice;
use embedded_io_async::{ErrorType, Read, Write};
use node::door::Outputs;
use node::drivers::ds3231::Ds3231;
use node::drivers::eeprom24::Eeprom24;
use node::update::NorSlots;

/// Address of the memory, all pins low.
const EEPROM_ADDRESS: u8 = 0x50;
/// Longest line on the console.
const LINE: usize = 192;

pub(crate) type Bus = SoftI2c<OpenDrain<OutputOpenDrain<'static>, OutputOpenDrain<'static>>>;
pub(crate) type Eeprom = Eeprom24<RefCellDevice<'static, Bus>, Delay>;
pub(crate) type ChipFlash = Flash<'static, FLASH, Blocking, FLASH_LEN>;
pub(crate) type SpareSlot = NorSlots<Partition<ChipFlash>, Partition<ChipFlash>>;

/// The board.
pub(crate) struct NodeBoard {
    pub(crate) console: RefCell<BufferedUartTx>,
    pub(crate) watchdog: RefCell<Watchdog>,
    pub(crate) bus: &'static RefCell<Bus>,
    pub(crate) contacts: RefCell<[Input<'static>; 5]>,
    pub(crate) switched: RefCell<Switched<Output<'static>>>,
}

impl NodeBoard {
    pub(crate) fn memory(&self) -> Eeprom {
        Eeprom24::new(RefCellDevice::new(self.bus), Delay, EEPROM_ADDRESS)
    }

    /// What the clock chip says; one that is not there or not to be believed is set when the
    /// controller tells the time.
    pub(crate) fn clock(&self) -> Option<u64> {
        Ds3231.read(&mut RefCellDevice::new(self.bus)).ok()
    }
}

impl common::Board for NodeBoard {
    type Bus = RefCellDevice<'static, Bus>;
    type Memory = Eeprom;
    type Slots = SpareSlot;

    fn log(&self, line: fmt::Arguments<'_>) {
        let mut text: heapless::String<LINE> = heapless::String::new();
        // What is longer is cut off.
        let _ = write!(text, "{line}\r\n");
        let mut console = self.console.borrow_mut();
        let mut bytes = text.as_bytes();
        while let Ok(taken @ 1..) = console.blocking_write(bytes) {
            bytes = &bytes[taken..];
            if bytes.is_empty() {
                break;
            }
        }
    }

    fn bus(&self) -> Self::Bus {
        RefCellDevice::new(self.bus)
    }

    fn free_bus(&self) {
        self.bus.borrow_mut().free();
    }

    fn sensor_rail(&self, on: bool) {
        self.switched.borrow_mut().rail(on);
    }

    fn is_open(&self, contact: u8) -> bool {
        is_open(&mut *self.contacts.borrow_mut(), contact)
    }

    fn switch(&self, outputs: &Outputs) {
        self.switched.borrow_mut().door(outputs);
    }

    fn reset_reader(&self, held: bool) {
        self.switched.borrow_mut().reset_reader(held);
    }

    fn set_clock(&self, unix_ms: u64) {
        // Without the chip the time is asked of the controller after the next power cut.
        let _ = Ds3231.set(&mut RefCellDevice::new(self.bus), unix_ms);
    }

    fn feed_watchdog(&self) {
        self.watchdog.borrow_mut().feed();
        crash::fed();
    }

    fn missed(&self, task: usize) {
        crash::missed(task);
    }

    fn restart(&self) -> ! {
        crash::restart()
    }
}

/// RS-485 on two state machines of a PIO, with a pin for the driver.
pub(crate) struct Rs485 {
    pub(crate) send: PioUartTx<'static, PIO0, 0>,
    pub(crate) receive: PioUartRx<'static, PIO0, 1>,
    pub(crate) drive: Output<'static>,
    /// Bytes given to the state machine since the line was taken.
    pub(crate) sent: u64,
}

impl ErrorType for Rs485 {
    type Error = core::convert::Infallible;
}

impl Read for Rs485 {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Self::Error> {
        // One at a time: more would be waited for, and lost when nobody waits any more.
        let len = into.len().min(1);
        self.receive.read(&mut into[..len]).await
    }
}

impl Write for Rs485 {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.sent += bytes.len() as u64;
        self.send.write(bytes).await
    }

    /// The state machine does not tell when the last bit is out; its time does.
    async fn flush(&mut self) -> Result<(), Self::Error> {
        const BITS: u64 = 10;
        let bytes = core::mem::take(&mut self.sent) + 1;
        Timer::after_micros(bytes * BITS * 1_000_000 / u64::from(BAUD)).await;
        Ok(())
    }
}

impl HalfDuplex for Rs485 {
    fn drive(&mut self, on: bool) {
        self.drive.set_level(on.into());
    }
}
