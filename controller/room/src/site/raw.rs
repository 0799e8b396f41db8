//! A site file as far as it could be read: every value with its place, or nothing. Once nothing
//! is missing, it becomes a [`Site`].

use super::link::Link;
use super::parse::{Hands, RawAction};
use super::reader::{At, Found};
use super::{
    Channel, Confirm, ContactKind, Device, DeviceAction, DeviceKind, Hardware, Host, Label, Limit, Mqtt,
    Node, OnFailure, OutagePolicy, Portal, Priority, Side, Site, Start, StepTimes, Web, World,
};
use crate::outage::Verb;
use crate::time::Millis;
use shared::Quantity;
use shared::access::UnsetClock;
use shared::board::Board;
use shared::mount::{Mount, PortalInput};
use shared::provision::{Address, CardKinds, PortalConfig, UPDATE_KEY_LEN};
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::path::PathBuf;

/// A site file as far as it could be read.
pub(super) struct Raw<W: World> {
    pub(super) name: Found<Label>,
    pub(super) data_dir: Found<PathBuf>,
    pub(super) profiles_dir: Found<PathBuf>,
    pub(super) web: Option<RawWeb>,
    pub(super) mqtt: Option<RawMqtt>,
    pub(super) nodes: Vec<RawNode>,
    pub(super) devices: Vec<RawDevice>,
    pub(super) groups: Vec<super::groups::RawGroup>,
    pub(super) traps: Found<SocketAddr>,
    pub(super) nut_server: Option<super::nut_server::RawNutServer>,
    pub(super) notifiers: Vec<super::notifier::RawNotifier>,
    pub(super) procedures: Vec<super::procedures::RawProcedure>,
    pub(super) notices: super::notice::RawNotices,
    pub(super) hosts: Vec<RawHost<W>>,
    pub(super) derived: Vec<super::derived::RawDerived>,
    pub(super) limits: Vec<RawLimit>,
    pub(super) outage: Option<RawOutage>,
    pub(super) operators: super::outage::Operators,
    pub(super) schedules: Vec<super::schedule::RawSchedule>,
    pub(super) access: Option<RawAccess>,
    /// The public key whose firmware images every node takes.
    pub(super) update_key: Found<[u8; UPDATE_KEY_LEN]>,
}

pub(super) struct RawAccess {
    pub(super) card_key_file: Found<PathBuf>,
    pub(super) cards_file: Found<PathBuf>,
    pub(super) utc_offset_min: Option<i16>,
    pub(super) unset_clock: UnsetClock,
    pub(super) stale_after_days: u8,
    pub(super) holidays: Vec<u16>,
    pub(super) people: crate::people::Rules,
    pub(super) passages: crate::register::Rules,
}

pub(super) struct RawPortal {
    pub(super) span: Range<usize>,
    pub(super) name: Found<String>,
    pub(super) label: Found<Label>,
    pub(super) keypad: bool,
    pub(super) cards: CardKinds,
    pub(super) strike: Found<Millis>,
    pub(super) held_open: Found<Millis>,
    pub(super) warn: Found<Millis>,
    /// Use, key, point.
    pub(super) inputs: Vec<(PortalInput, &'static str, At<String>)>,
    pub(super) area: Found<String>,
    pub(super) passes: super::Passes,
}

pub(super) struct RawWeb {
    pub(super) listen: Found<SocketAddr>,
    pub(super) exposed: bool,
}

pub(super) enum RawMqtt {
    Builtin {
        listen: Found<SocketAddr>,
        exposed: bool,
    },
    External {
        addr: Found<String>,
        user: Found<String>,
        password_file: Found<PathBuf>,
    },
}

pub(super) struct RawNode {
    pub(super) id: Found<u16>,
    pub(super) name: Found<String>,
    pub(super) label: Found<Label>,
    pub(super) key_file: Found<PathBuf>,
    pub(super) silent_after: Found<Millis>,
    pub(super) channels: Vec<RawChannel>,
    pub(super) board: Found<Board>,
    pub(super) broker: Found<SocketAddrV4>,
    pub(super) address: Found<Address>,
    pub(super) portal: Option<RawPortal>,
}

pub(super) struct RawChannel {
    pub(super) channel: Found<u8>,
    pub(super) point: Found<String>,
    pub(super) label: Found<Label>,
    pub(super) quantity: Found<Quantity>,
    pub(super) contact: Option<ContactKind>,
    pub(super) span: Range<usize>,
    /// A part is named, whether or not it is right.
    pub(super) has_part: bool,
    pub(super) mount: Found<Mount>,
}

pub(super) struct RawDevice {
    pub(super) name: Found<String>,
    pub(super) label: Found<Label>,
    pub(super) kind: Found<DeviceKind>,
    pub(super) link: Found<Link>,
    pub(super) profile: Found<String>,
    pub(super) poll: Found<Millis>,
    pub(super) poll_on_battery: Found<Millis>,
    pub(super) timeout: Found<Millis>,
    pub(super) retries: Found<u8>,
    pub(super) behind: Found<String>,
    pub(super) uplinks: Vec<At<String>>,
    pub(super) fed_by: Vec<At<String>>,
    pub(super) battery: Option<super::battery::RawBattery>,
    pub(super) test: Option<super::self_test::RawSelfTest>,
    pub(super) commands: Vec<At<crate::command::Name>>,
    pub(super) write: Option<super::write::Write>,
}

pub(super) struct RawHost<W: World> {
    pub(super) span: Range<usize>,
    pub(super) name: Found<String>,
    pub(super) label: Found<Label>,
    pub(super) feeds: Vec<At<String>>,
    pub(super) need: Found<usize>,
    pub(super) depends_on: Vec<At<String>>,
    pub(super) action: RawDoing<W::Action>,
    pub(super) force: Option<RawDoing<W::Action>>,
    pub(super) start: Option<RawStart<W>>,
    pub(super) confirm: Found<Confirm>,
    pub(super) budget: Found<Millis>,
    pub(super) on_failure: Found<OnFailure>,
    pub(super) shed_after: Found<Millis>,
}

impl<W: World> RawHost<W> {
    /// Everything that can be done to the host, in the order of [`Verb::ALL`].
    pub(super) fn doings(&self) -> impl Iterator<Item = (Verb, &RawDoing<W::Action>)> {
        let force = self.force.iter().map(|doing| (Verb::Force, doing));
        let start = self.start.iter().map(|start| (Verb::Start, &start.doing));
        [(Verb::Stop, &self.action)].into_iter().chain(force).chain(start)
    }
}

/// One of `[host.action]`, `[host.force]`, `[host.start]`.
pub(super) struct RawDoing<A> {
    pub(super) action: Option<A>,
    /// `kind = "device"`, which only the devices make an action.
    pub(super) told: Option<RawTold>,
    /// Longest time that the action may take by its own settings.
    pub(super) longest: Found<Millis>,
    /// What the action is aimed at, to find the same server twice.
    pub(super) aim: Found<String>,
}

pub(super) struct RawStart<W: World> {
    pub(super) doing: RawDoing<W::Action>,
    pub(super) alive: Found<SocketAddr>,
    pub(super) budget: Found<Millis>,
}

pub(super) struct RawTold {
    pub(super) device: At<String>,
    pub(super) command: At<crate::command::Name>,
    pub(super) value: Option<i64>,
}

pub(super) struct RawLimit {
    pub(super) id: Found<String>,
    pub(super) point: Found<String>,
    pub(super) side: Found<Side>,
    pub(super) limit: Found<f64>,
    pub(super) deadband: Found<f64>,
    pub(super) on_delay: Found<Millis>,
    pub(super) off_delay: Found<Millis>,
    pub(super) priority: Found<Priority>,
    pub(super) action: Found<Label>,
    /// What the point must measure, when a preset says so.
    pub(super) measures: Option<Quantity>,
}

pub(super) struct RawOutage {
    pub(super) span: Range<usize>,
    pub(super) on_battery_delay: Found<Millis>,
    pub(super) reserve: Found<Millis>,
    pub(super) start_at_charge: Found<f64>,
    pub(super) longest_on_battery: Found<Millis>,
    pub(super) contact_lost_after: Found<Millis>,
    pub(super) mains_stable: Found<Millis>,
    pub(super) then: Found<super::outage::Then>,
    pub(super) rules: Vec<super::outage::RawRule>,
    pub(super) step_times: StepTimes,
    pub(super) rehearse_every: Option<Millis>,
    pub(super) check_credentials: Option<u16>,
    pub(super) return_after: Found<Millis>,
    pub(super) return_charge: Found<f64>,
    pub(super) finish: Option<super::finish::RawFinish>,
}

/// The site, when nothing is missing.
pub(super) fn build<W: Hands>(raw: Raw<W>) -> Option<Site<W>> {
    let (rules, shed) = (super::outage::build(&raw)?, super::outage::shed(&raw));
    let finish = super::finish::build(&raw)?;
    let web = Web {
        listen: raw.web?.listen?.value,
    };
    let mqtt = match raw.mqtt? {
        RawMqtt::Builtin { listen, .. } => Mqtt::Builtin {
            listen: listen?.value,
        },
        RawMqtt::External {
            addr,
            user,
            password_file,
        } => Mqtt::External {
            addr: addr?.value,
            user: user.map(|user| user.value),
            password_file: password_file.map(|file| file.value),
        },
    };
    let check_credentials = raw.outage.as_ref().and_then(|outage| outage.check_credentials);
    let outage = match raw.outage {
        None => None,
        Some(outage) => Some(OutagePolicy {
            on_battery_delay: outage.on_battery_delay?.value,
            reserve: outage.reserve?.value,
            start_at_charge: outage.start_at_charge?.value,
            longest_on_battery: outage.longest_on_battery?.value,
            contact_lost_after: outage.contact_lost_after?.value,
            mains_stable: outage.mains_stable?.value,
            then: outage.then?.value,
            shed,
            rules,
            step_times: outage.step_times,
            rehearse_every: outage.rehearse_every,
            return_after: outage.return_after.map(|at| at.value),
            return_charge: outage.return_charge.map(|at| at.value),
        }),
    };
    let update_key = raw.update_key.map(|key| key.value);
    let mut portals = Vec::new();
    let mut nodes = Vec::new();
    for node in raw.nodes {
        let (node, portal) = build_node(node, update_key)?;
        nodes.push(node);
        portals.extend(portal);
    }
    let mut devices = Vec::new();
    let (mut batteries, mut self_tests) = (Vec::new(), Vec::new());
    let mut branches = Vec::new();
    for mut device in raw.devices {
        if let Some(battery) = device.battery.take() {
            batteries.push(super::battery::build(&device.name, battery)?);
        }
        if let Some(test) = device.test.take() {
            self_tests.push(super::self_test::build(&device.name, test)?);
        }
        if !device.fed_by.is_empty() {
            branches.push(super::feeds::Branch {
                device: device.name.as_ref()?.value.clone(),
                fed_by: std::mem::take(&mut device.fed_by)
                    .into_iter()
                    .map(|feed| feed.value)
                    .collect(),
            });
        }
        devices.push(build_device(device)?);
    }
    let hosts = raw.hosts.into_iter().map(|host| build_host(host, &devices));
    let hosts = hosts.collect::<Option<_>>()?;
    Some(Site {
        check_credentials,
        name: raw.name?.value,
        data_dir: raw.data_dir?.value,
        profiles_dir: raw.profiles_dir.map(|dir| dir.value),
        web,
        mqtt,
        nodes,
        traps: raw.traps.map(|listen| listen.value),
        devices,
        branches,
        batteries,
        self_tests,
        schedules: raw
            .schedules
            .into_iter()
            .map(super::schedule::build)
            .collect::<Option<_>>()?,
        derived: raw
            .derived
            .into_iter()
            .map(super::derived::build)
            .collect::<Option<_>>()?,
        groups: raw
            .groups
            .into_iter()
            .map(super::groups::build)
            .collect::<Option<_>>()?,
        nut_server: match raw.nut_server {
            Some(server) => Some(super::nut_server::build(server)?),
            None => None,
        },
        notifiers: raw
            .notifiers
            .into_iter()
            .map(super::notifier::build)
            .collect::<Option<_>>()?,
        notices: super::notice::build(raw.notices)?,
        hosts,
        procedures: raw
            .procedures
            .into_iter()
            .map(super::procedures::build)
            .collect::<Option<_>>()?,
        limits: raw.limits.into_iter().map(build_limit).collect::<Option<_>>()?,
        outage,
        finish,
        operators: raw.operators,
        access: super::doors::build(raw.access, portals)?,
    })
}

fn build_node(raw: RawNode, update_key: Option<[u8; UPDATE_KEY_LEN]>) -> Option<(Node, Option<Portal>)> {
    let id = raw.id?.value;
    let mut channels = raw
        .channels
        .into_iter()
        .map(build_channel)
        .collect::<Option<Vec<_>>>()?;
    let mut hardware = Hardware {
        board: raw.board.map(|board| board.value),
        broker: raw.broker.map(|broker| broker.value),
        address: raw.address.map(|address| address.value),
        portal: None,
        update_key,
    };
    let mut portal = None;
    if let Some(raw) = raw.portal {
        let whole_secs = |length: Millis| length.0 / 1000;
        hardware.portal = Some(PortalConfig {
            keypad: raw.keypad,
            cards: raw.cards,
            strike_ms: u16::try_from(raw.strike?.value.0).ok()?,
            held_open_s: u16::try_from(whole_secs(raw.held_open?.value)).ok()?,
            warn_s: u8::try_from(whole_secs(raw.warn?.value)).ok()?,
        });
        for (input, _, point) in &raw.inputs {
            let channel = channels.iter_mut().find(|channel| channel.point == point.value);
            if let Some(mount) = channel.and_then(|channel| channel.mount.as_mut()) {
                *mount = mount.with_portal(*input);
            }
        }
        let door = raw
            .inputs
            .into_iter()
            .find(|(input, ..)| *input == PortalInput::Door);
        let name = raw.name?.value;
        portal = Some(Portal {
            area: raw.area.map_or_else(|| name.clone(), |area| area.value),
            passes: raw.passes,
            name,
            label: raw.label?.value,
            node: id,
            portal: 0,
            reader: 0,
            door: door.map(|(.., point)| point.value),
        });
    }
    let node = Node {
        id,
        name: raw.name?.value,
        label: raw.label?.value,
        key_file: raw.key_file?.value,
        silent_after: raw.silent_after?.value,
        channels,
        hardware,
    };
    Some((node, portal))
}

fn build_channel(raw: RawChannel) -> Option<Channel> {
    Some(Channel {
        channel: raw.channel?.value,
        point: raw.point?.value,
        label: raw.label?.value,
        quantity: raw.quantity?.value,
        contact: raw.contact,
        mount: raw.mount.map(|mount| mount.value),
    })
}

fn build_device(raw: RawDevice) -> Option<Device> {
    Some(Device {
        name: raw.name?.value,
        label: raw.label?.value,
        kind: raw.kind?.value,
        link: raw.link?.value,
        profile: raw.profile.map(|profile| profile.value),
        poll: raw.poll?.value,
        poll_on_battery: raw.poll_on_battery?.value,
        timeout: raw.timeout?.value,
        retries: raw.retries?.value,
        behind: raw.behind.map(|behind| behind.value),
        uplinks: raw.uplinks.into_iter().map(|port| port.value).collect(),
        commands: raw.commands.into_iter().map(|name| name.value).collect(),
        write: raw.write,
    })
}

fn build_host<W: Hands>(raw: RawHost<W>, devices: &[Device]) -> Option<Host<W>> {
    let start = match raw.start {
        None => None,
        Some(start) => Some(Start {
            action: build_doing::<W>(start.doing, devices)?,
            alive: start.alive.map(|addr| addr.value),
            budget: start.budget?.value,
        }),
    };
    let force = match raw.force {
        None => None,
        Some(force) => Some(build_doing::<W>(force, devices)?),
    };
    Some(Host {
        action: build_doing::<W>(raw.action, devices)?,
        force,
        start,
        name: raw.name?.value,
        label: raw.label?.value,
        feeds: raw.feeds.into_iter().map(|feed| feed.value).collect(),
        need: raw.need?.value,
        depends_on: raw.depends_on.into_iter().map(|host| host.value).collect(),
        confirm: raw.confirm?.value,
        budget: raw.budget?.value,
        on_failure: raw.on_failure?.value,
    })
}

fn build_doing<W: Hands>(raw: RawDoing<W::Action>, devices: &[Device]) -> Option<W::Action> {
    let Some(told) = raw.told else { return raw.action };
    let device = devices.iter().find(|device| device.name == told.device.value)?;
    let action = DeviceAction {
        device: device.name.clone(),
        addr: device.link.endpoint().map(|(_, addr)| addr),
        port: device.link.serial().map(|line| line.path.clone()),
        command: told.command.value,
        value: told.value,
    };
    // What a simulated site refuses was reported with the device.
    W::action(RawAction::Device(action)).ok()
}

fn build_limit(raw: RawLimit) -> Option<Limit> {
    Some(Limit {
        id: raw.id?.value,
        point: raw.point?.value,
        side: raw.side?.value,
        limit: raw.limit?.value,
        deadband: raw.deadband?.value,
        on_delay: raw.on_delay?.value,
        off_delay: raw.off_delay?.value,
        priority: raw.priority?.value,
        action: raw.action?.value,
    })
}

impl RawLimit {
    /// One limit of a preset.
    pub(super) fn of_preset(point: &At<String>, measures: Option<Quantity>, limit: Limit) -> Self {
        fn at<T>(span: &Range<usize>, value: T) -> Found<T> {
            Some(At {
                value,
                span: span.clone(),
            })
        }
        let span = &point.span;
        Self {
            id: at(span, limit.id),
            point: Some(point.clone()),
            side: at(span, limit.side),
            limit: at(span, limit.limit),
            deadband: at(span, limit.deadband),
            on_delay: at(span, limit.on_delay),
            off_delay: at(span, limit.off_delay),
            priority: at(span, limit.priority),
            action: at(span, limit.action),
            measures,
        }
    }
}

/// `high` or `low`.
pub(super) const fn side_word(side: Side) -> &'static str {
    match side {
        Side::High => "high",
        Side::Low => "low",
    }
}
