//! `[outage.finish]`: what ends a plan, once every server of it is confirmed off.
//!
//! Each UPS that is named is told `shutdown.return` with a delay, and then the controller's own
//! machine is stopped, if the site says how. From then on the UPSes decide: they switch off, and on
//! again with the mains, so that no server is left off by mains that come back at the wrong moment.
//!
//! Without the section nothing is switched off: the batteries drain to their end.

use super::link::Link;
use super::problem::{Kind, Sink, nearest};
use super::raw::Raw;
use super::reader::{At, Found, Reader, shown};
use super::{Confirm, DeviceKind, ExecAction, World};
use crate::command::Name;
use crate::time::Millis;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

/// What each UPS is told.
pub const COMMAND: &str = "shutdown.return";
/// UPSes that one section can name.
pub const MAX_CUTS: usize = 16;
/// Things beside the servers that can be named for one UPS.
pub const MAX_ALSO: usize = 32;
/// A UPS waits at least so much longer than the controller's own stop may take.
pub const SPARE: Millis = Millis::from_secs(15);
/// Shortest and longest delay: below it mains that flicker decide, above it UPSes count no further.
const DELAY: (Millis, Millis) = (Millis::from_secs(20), Millis::from_secs(600));
/// Shortest and longest time for the controller's own stop.
const BUDGET: (Millis, Millis) = (Millis::from_secs(1), Millis::from_secs(300));

/// `[outage.finish]`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finish {
    /// The UPSes that are switched off.
    pub cuts: Vec<Cut>,
    /// Hosts that may lose their power without being confirmed off.
    pub may_run: BTreeSet<String>,
    /// How the controller's own machine is stopped; `None`: it is not.
    pub controller: Option<Own>,
}

/// `[[outage.finish.ups]]`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cut {
    /// Device.
    pub ups: String,
    /// From the command until the output goes off; whole seconds.
    pub delay: Millis,
    /// What else loses its power, for people. No part of what is done.
    #[serde(skip)]
    pub also: Vec<String>,
}

impl Cut {
    /// What the device is told as the parameter of [`COMMAND`].
    #[must_use]
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.delay.0 / 1000).unwrap_or(i64::MAX)
    }
}

/// `[outage.finish.controller]`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Own {
    /// Absolute path.
    pub program: PathBuf,
    /// Arguments, passed as they are.
    pub args: Vec<String>,
    /// Longest time until the machine is down.
    pub budget: Millis,
}

impl Own {
    /// As an action.
    #[must_use]
    pub fn action(&self) -> ExecAction {
        ExecAction {
            program: self.program.clone(),
            args: self.args.clone(),
            timeout: self.budget,
        }
    }
}

/// The command of [`COMMAND`].
#[must_use]
pub fn command() -> Name {
    COMMAND.parse().expect("it is one of the commands there are")
}

pub(super) struct RawFinish {
    span: Range<usize>,
    cuts: Vec<RawCut>,
    may_run: Vec<At<String>>,
    controller: Option<RawOwn>,
}

struct RawCut {
    device: Found<String>,
    delay: Found<Millis>,
    also: Vec<At<String>>,
}

struct RawOwn {
    span: Range<usize>,
    program: Found<String>,
    args: Vec<String>,
    budget: Found<Millis>,
}

/// `[outage.finish]`
pub(super) fn finish(mut r: Reader<'_>) -> RawFinish {
    let hint = "name the UPSes that are switched off last: [[outage.finish.ups]] with device and delay";
    if !r.has("ups") {
        r.missing("ups", hint);
    }
    let cuts = r.tables("ups", "[[outage.finish.ups]]", MAX_CUTS);
    let cuts = cuts.into_iter().map(|mut r| {
        let cut = RawCut {
            device: r.text("device", "the name of a [[device]], e.g. \"ups-a\""),
            delay: r.duration(
                "delay",
                DELAY,
                "how long the UPS waits before it switches off, e.g. \"2m\"",
            ),
            also: r.list("also_feeds"),
        };
        if cut.also.len() > MAX_ALSO {
            let message = format!("more than {MAX_ALSO} things in `also_feeds`");
            r.sink().error(Kind::Value, &r.span, message);
        }
        r.finish();
        cut
    });
    let cuts = cuts.collect();
    let may_run = r.list("may_run");
    let controller = r.table_or("controller", "[outage.finish.controller]").map(own);
    let finish = RawFinish {
        span: r.span.clone(),
        cuts,
        may_run,
        controller,
    };
    r.finish();
    finish
}

fn own(mut r: Reader<'_>) -> RawOwn {
    let own = RawOwn {
        span: r.span.clone(),
        // As it is written: what is not absolute is refused, and not joined to a folder.
        program: r.text("program", "an absolute path, e.g. \"/usr/bin/systemctl\""),
        args: r.list("args").into_iter().map(|arg| arg.value).collect(),
        budget: r.duration(
            "budget",
            BUDGET,
            "how long the controller's machine needs to be down, e.g. \"60s\"",
        ),
    };
    r.finish();
    own
}

/// The section, when nothing is missing; `Some(None)`: there is none.
pub(super) fn build<W: World>(raw: &Raw<W>) -> Option<Option<Finish>> {
    let finish = raw.outage.as_ref().and_then(|outage| outage.finish.as_ref());
    let Some(finish) = finish else { return Some(None) };
    let cuts = finish.cuts.iter().map(|cut| {
        Some(Cut {
            ups: cut.device.as_ref()?.value.clone(),
            delay: Millis(cut.delay.as_ref()?.value.0.div_ceil(1000).saturating_mul(1000)),
            also: cut.also.iter().map(|also| also.value.clone()).collect(),
        })
    });
    let controller = match &finish.controller {
        None => None,
        Some(own) => Some(Own {
            program: PathBuf::from(&own.program.as_ref()?.value),
            args: own.args.clone(),
            budget: own.budget.as_ref()?.value,
        }),
    };
    Some(Some(Finish {
        cuts: cuts.collect::<Option<_>>()?,
        may_run: finish.may_run.iter().map(|host| host.value.clone()).collect(),
        controller,
    }))
}

/// What cannot work is refused here, and not found out at the end of a battery.
pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let finish = raw.outage.as_ref().and_then(|outage| outage.finish.as_ref());
    let Some(finish) = finish else { return };
    let mut seen = BTreeSet::new();
    for cut in &finish.cuts {
        let Some(device) = &cut.device else { continue };
        if !seen.insert(device.value.as_str()) {
            sink.error(
                Kind::Duplicate,
                &device.span,
                format!("{} is switched off twice", device.value),
            );
        }
        check_device(raw, device, cut.delay.as_ref(), sink);
        check_delay(cut, finish.controller.as_ref(), sink);
    }
    let hosts = raw.hosts.iter().filter_map(|host| host.name.as_ref());
    let hosts: Vec<&str> = hosts.map(|name| name.value.as_str()).collect();
    for host in &finish.may_run {
        if !hosts.contains(&host.value.as_str()) {
            let hint = nearest(&host.value, hosts.iter().copied()).map_or_else(
                || "the name of a [[host]]".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!(
                "`may_run` names `{}`, which is no [[host]] of this site",
                host.value
            );
            sink.error_hint(Kind::Reference, &host.span, message, hint);
        }
    }
    check_hosts(raw, finish, sink);
    if let Some(own) = &finish.controller {
        if W::SIMULATED {
            sink.error_hint(
                Kind::Conflict,
                &own.span,
                "a simulated site does not stop the machine it runs on",
                "take [outage.finish.controller] out",
            );
        }
        if let Some(program) = &own.program
            && !program.value.starts_with('/')
        {
            sink.error_hint(
                Kind::Value,
                &program.span,
                "the program is not an absolute path",
                "there is no search path, e.g. \"/usr/bin/systemctl\"",
            );
        }
    }
    if finish.cuts.is_empty() {
        sink.error_hint(
            Kind::Missing,
            &finish.span,
            "[outage.finish] without a UPS: nothing would switch on again what is stopped here",
            "add [[outage.finish.ups]], or take the section out",
        );
    }
}

/// A host of which only the end of its action is known counts as off while it may still be going down:
/// what switches it off waits for as long as its stop may take. A device is asked itself.
fn check_hosts<W: World>(raw: &Raw<W>, finish: &RawFinish, sink: &Sink<'_>) {
    let delays = finish.cuts.iter().filter_map(|cut| cut.delay.as_ref());
    let Some(delay) = delays.min_by_key(|delay| delay.value) else {
        return;
    };
    for host in &raw.hosts {
        let (Some(name), Some(budget), Some(confirm)) = (&host.name, &host.budget, &host.confirm) else {
            continue;
        };
        let may_run = finish.may_run.iter().any(|other| other.value == name.value);
        if may_run || host.action.told.is_some() || confirm.value != Confirm::ActionSucceeded {
            continue;
        }
        let needed = Millis(budget.value.0.saturating_add(SPARE.0));
        if delay.value < needed {
            sink.error_hint(
                Kind::Conflict,
                &delay.span,
                format!(
                    "nothing shows when host {} is down, and the UPS would switch off after {}, within its \
                     budget of {}",
                    name.value,
                    shown(delay.value),
                    shown(budget.value)
                ),
                format!(
                    "delay = \"{}\" or more, a port in its [host.confirm], or its name in `may_run`",
                    shown(needed)
                ),
            );
        }
    }
}

fn check_delay(cut: &RawCut, own: Option<&RawOwn>, sink: &Sink<'_>) {
    let budget = own.and_then(|own| own.budget.as_ref());
    let (Some(delay), Some(budget)) = (&cut.delay, budget) else {
        return;
    };
    let needed = Millis(budget.value.0.saturating_add(SPARE.0));
    if delay.value < needed {
        sink.error_hint(
            Kind::Conflict,
            &delay.span,
            format!(
                "the UPS would switch off after {}, while the controller's own stop takes up to {}",
                shown(delay.value),
                shown(budget.value)
            ),
            format!("delay = \"{}\" or more", shown(needed)),
        );
    }
}

fn check_device<W: World>(raw: &Raw<W>, device: &At<String>, delay: Option<&At<Millis>>, sink: &Sink<'_>) {
    let named = |name: &Found<String>| name.as_ref().is_some_and(|name| name.value == device.value);
    let Some(found) = raw.devices.iter().find(|other| named(&other.name)) else {
        let names = raw.devices.iter().filter_map(|device| device.name.as_ref());
        let hint = nearest(&device.value, names.map(|name| name.value.as_str())).map_or_else(
            || "the name of a [[device]]".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("`{}` is no device of this site", device.value);
        return sink.error_hint(Kind::Reference, &device.span, message, hint);
    };
    if found
        .kind
        .as_ref()
        .is_some_and(|kind| kind.value != DeviceKind::Ups)
    {
        let message = format!(
            "{} is no UPS, so nothing tells when it may be switched off",
            device.value
        );
        return sink.error_hint(
            Kind::Conflict,
            &device.span,
            message,
            "name a [[device]] of kind = \"ups\"",
        );
    }
    if let Some(Link::Megatec(_)) = found.link.as_ref().map(|link| &link.value) {
        return sink.error_hint(
            Kind::Conflict,
            &device.span,
            format!("{} speaks a protocol by which it is told nothing", device.value),
            "reach it through a NUT server or its network card, or leave it out",
        );
    }
    if !found.commands.iter().any(|allowed| allowed.value == command()) {
        sink.error_hint(
            Kind::Reference,
            &device.span,
            format!("{} is not allowed to be told {COMMAND}", device.value),
            format!("add commands = [\"{COMMAND}\"] and [device.write] to its [[device]]"),
        );
    }
    check_profile(found.profile.as_ref(), &device.value, delay, sink);
    for host in &raw.hosts {
        let told = host.doings().filter_map(|(_, doing)| doing.told.as_ref());
        for told in told.filter(|told| told.device.value == device.value && told.command.value == command()) {
            sink.error_hint(
                Kind::Conflict,
                &told.command.span,
                format!("{} is told {COMMAND} here and in [outage.finish]", device.value),
                "take this step out: the finish comes after every step",
            );
        }
    }
}

/// A profile that is named can be asked whether it has the command with that delay.
fn check_profile(profile: Option<&At<String>>, name: &str, delay: Option<&At<Millis>>, sink: &Sink<'_>) {
    let (Some(profile), Some(delay)) = (profile, delay) else {
        return;
    };
    let library = crate::profile::Library::builtin();
    let Some(known) = library.get(&profile.value) else {
        return;
    };
    let secs = i64::try_from(delay.value.0.div_ceil(1000)).unwrap_or(i64::MAX);
    if let Err(why) = known.told(command(), Some(secs)) {
        let message = format!("{name} cannot be told {COMMAND} with this delay: {why}");
        sink.error_hint(
            Kind::Conflict,
            &delay.span,
            message,
            "`yagura device commands` lists what a model takes",
        );
    }
}
