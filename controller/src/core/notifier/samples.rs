//! Notices for the tests of notifiers, and all that could stand in one.

use proptest::prelude::*;
use room::notice::{About, Lamp, Light, Moment, Notice, Summary, Told};
use room::site::{Label, Priority};
use room::time::{Millis, Wall};

/// A notice about this.
pub(super) fn notice(about: About) -> Notice {
    Notice {
        key: "leak.1/3/duty/0/raised".into(),
        attempt: 1,
        notifier: "log".into(),
        to: None,
        contact: None,
        at: Wall(1_795_000_000_123),
        site: Label::new("第一サーバ室", "Server room 1"),
        simulated: false,
        about,
    }
}

/// A leak.
pub(super) fn leak(moment: Moment) -> Notice {
    notice(About::Alarm(Box::new(Told {
        moment,
        alarm: "leak.1".into(),
        priority: Priority::Critical,
        class: "water".into(),
        what: Label::new("漏水", "Leak"),
        place: Label::new("空調機Aの下", "below air conditioner A"),
        because: Label::new("検知帯がぬれた", "the rope is wet"),
        cause: Label::new("ドレン配管の詰まり", "a blocked drain"),
        consequence: Label::new("床下に水がたまる", "water below the floor"),
        action: Label::new("空調機Aを止める", "stop air conditioner A"),
        respond_within: Millis::from_secs(600),
        owner: Some(Label::new("施設管理担当", "Facilities staff")),
        procedure: None,
        since: Wall(1_794_999_990_000),
        lasted: Millis(10_123),
        count: 2,
        folded: 4,
    })))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\]\\[\"\\\\ \r\n\u{0}\u{202e}漏<>/+#{}-]{0,40}",
        proptest::collection::vec(any::<char>(), 0..3000).prop_map(|text| text.into_iter().collect()),
    ]
}

fn label() -> impl Strategy<Value = Label> {
    (text(), text()).prop_map(|(ja, en)| Label { ja, en })
}

fn light() -> impl Strategy<Value = Light> {
    prop_oneof![Just(Light::Off), Just(Light::Steady), Just(Light::Flashing)]
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![
        Just(Priority::Advisory),
        Just(Priority::Warning),
        Just(Priority::Critical)
    ]
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        Just(Moment::Raised),
        Just(Moment::Escalated),
        Just(Moment::Reminder),
        Just(Moment::Acknowledged),
        Just(Moment::Shelved),
        Just(Moment::Returned),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let texts = (
        text(),
        text(),
        proptest::option::of(text()),
        proptest::option::of(text()),
    );
    let labels = (label(), label(), label(), label(), label(), label());
    let numbers = (
        any::<u64>(),
        any::<i64>(),
        any::<u64>(),
        any::<u32>(),
        any::<usize>(),
    );
    (moment(), priority(), texts, labels, numbers).prop_map(
        |(
            moment,
            priority,
            (alarm, class, owner, procedure),
            (what, place, because, cause, consequence, action),
            (respond, since, lasted, count, folded),
        )| Told {
            moment,
            alarm,
            priority,
            class,
            what,
            place,
            because,
            cause,
            consequence,
            action,
            respond_within: Millis(respond),
            owner: owner.map(|owner: String| Label::new(owner.clone(), owner)),
            procedure,
            since: Wall(since),
            lasted: Millis(lasted),
            count,
            folded,
        },
    )
}

/// Any lamp.
pub(super) fn lamp() -> impl Strategy<Value = Lamp> {
    ((light(), light(), light(), light(), light()), any::<bool>()).prop_map(
        |((red, amber, green, blue, white), buzzer)| Lamp {
            red,
            amber,
            green,
            blue,
            white,
            buzzer,
        },
    )
}

/// Any notice.
pub(super) fn any_notice() -> impl Strategy<Value = Notice> {
    let some = proptest::collection::vec((priority(), label(), label()), 0..3);
    let about = prop_oneof![
        4 => told().prop_map(|told| About::Alarm(Box::new(told))),
        1 => (any::<[usize; 3]>(), some).prop_map(|(counts, some)| About::Summary(Summary { counts, some, returned: 0 })),
        1 => text().prop_map(|by| About::Test { by }),
        1 => any::<u64>().prop_map(|count| About::Heartbeat { count }),
        1 => lamp().prop_map(About::Lamp),
    ];
    (text(), any::<u32>(), any::<i64>(), label(), any::<bool>(), about).prop_map(
        |(key, attempt, at, site, simulated, about)| Notice {
            key,
            attempt,
            notifier: "any".into(),
            to: None,
            contact: None,
            at: Wall(at),
            site,
            simulated,
            about,
        },
    )
}
