//! What this board is to the tasks: its pins, its bus, its memory, its clock chip.

use crate::hal::crash;
use crate::slots::Partition;
use common::i2c::SoftI2c;
use common::pins::{OpenDrain, Switched, is_open};
use common::probe::HalfDuplex;
use core::cell::RefCell;
use core::fmt::{self, Write as _};
use embassy_stm32::flash::{Bank1Region2, Bank1Region3, Blocking};
use embassy_stm32::gpio::{Input, Output, OutputOpenDrain};
use embassy_stm32::peripherals::{IWDG, RNG};
use embassy_stm32::rng::Rng;
use embassy_stm32::usart::{self, BufferedUart, BufferedUartTx};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_time::Delay;
use embedded_hal_bus::i2c::RefCellDevice;
use embedded_io_async::{ErrorType, Read, Write};
use node::door::Outputs;
use node::drivers::ds3231::Ds3231;
use node::drivers::eeprom24::Eeprom24;
use node::update::NorSlots;

/// Address of the memory, all pins low.
const EEPROM_ADDRESS: u8 = 0x50;
/// Contacts that can be mounted.
pub(crate) const CONTACTS: usize = 14;
/// Longest line on the console.
const LINE: usize = 192;

pub(crate) type Bus = SoftI2c<OpenDrain<OutputOpenDrain<'static>, OutputOpenDrain<'static>>>;
pub(crate) type Eeprom = Eeprom24<RefCellDevice<'static, Bus>, Delay>;
pub(crate) type Large = Bank1Region3<'static, Blocking>;
pub(crate) type Middle = Bank1Region2<'static, Blocking>;
pub(crate) type SpareSlot = NorSlots<Partition<Large>, Partition<Middle>>;

/// The board.
pub(crate) struct NodeBoard {
    /// The chip's own source of randomness, an analogue one (RM0410, chapter 22).
    pub(crate) random: RefCell<Rng<'static, RNG>>,
    pub(crate) console: RefCell<BufferedUartTx<'static>>,
    pub(crate) watchdog: RefCell<IndependentWatchdog<'static, IWDG>>,
    pub(crate) bus: &'static RefCell<Bus>,
    pub(crate) contacts: RefCell<[Input<'static>; CONTACTS]>,
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
        while let Ok(taken @ 1..) = embedded_io::Write::write(&mut *console, bytes) {
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
        self.watchdog.borrow_mut().pet();
        crash::fed();
    }

    fn missed(&self, task: usize) {
        crash::missed(task);
    }

    fn restart(&self) -> ! {
        crash::restart()
    }

    #[cfg(feature = "tls")]
    fn random(&self, into: &mut [u8]) {
        self.random.borrow_mut().fill_bytes(into);
    }
}

/// RS-485; the port itself switches the driver, to the bit.
pub(crate) struct Rs485(pub(crate) BufferedUart<'static>);

impl ErrorType for Rs485 {
    type Error = usart::Error;
}

impl Read for Rs485 {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(into).await
    }
}

impl Write for Rs485 {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        Write::write(&mut self.0, bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        Write::flush(&mut self.0).await
    }
}

impl HalfDuplex for Rs485 {}
