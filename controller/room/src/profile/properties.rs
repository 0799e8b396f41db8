//! What holds for whatever a device sends and whatever a profile file says.

use super::*;
use crate::device::FactValue;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[+-]?[0-9]{1,4}(\\.[0-9]{1,2})?( ?[A-Za-z%°]{1,3})?",
        Just("N/A".to_owned()),
    ];
    prop_oneof![
        4 => (-300_i64..300).prop_map(Value::Integer),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => any::<u64>().prop_map(Value::Unsigned),
        1 => select(vec![65_535_u64, 655_350, 2_147_483_647, 4_294_967_295]).prop_map(Value::Unsigned),
        1 => any::<u32>().prop_map(Value::Ticks),
        1 => vec(any::<u8>(), 0..80).prop_map(Value::Bytes),
        1 => vec(any::<u8>(), 0..20).prop_map(Value::Opaque),
        1 => any::<[u8; 4]>().prop_map(|float| {
            Value::Opaque([vec![0x9f, 0x78, 4], float.to_vec()].concat())
        }),
        2 => text.prop_map(|text| Value::Bytes(text.into_bytes())),
        1 => Just(Value::Null),
        1 => Just(Value::NoSuchInstance),
        1 => Just(Value::EndOfMib),
        1 => any::<u32>().prop_map(Value::DeviceError),
        1 => Just(Value::Oid("1.3.6.1".parse().unwrap())),
    ]
}

/// Which root, which index below it, which value.
fn any_rows() -> impl Strategy<Value = Vec<(Index, Vec<u32>, Value)>> {
    vec(
        (
            any::<Index>(),
            vec(prop_oneof![0_u32..4, any::<u32>()], 0..4),
            any_value(),
        ),
        0..200,
    )
}

fn builtin(at: Index) -> Arc<Profile> {
    let profiles: Vec<_> = Library::builtin().iter().cloned().collect();
    Arc::clone(at.get(&profiles))
}

fn check_reading(reading: &crate::device::Reading) {
    assert!(reading.facts.len() <= LAYOUT_FACTS_MAX + 1);
    for fact in &reading.facts {
        let Ok(FactValue::Number(number)) = fact.value else {
            continue;
        };
        let possible = match (fact.unit, fact.name.as_str()) {
            (_, "battery.charge" | "ambient.1.humidity") => (0.0..=100.0).contains(&number),
            (_, "battery.runtime") => (0.0..=604_800.0).contains(&number),
            ("Hz", "input.frequency" | "output.frequency") => {
                number == 0.0 || (40.0..=70.0).contains(&number)
            }
            ("V", "input.voltage" | "output.voltage" | "input.L2.voltage") => (0.0..=700.0).contains(&number),
            ("°C", name) if name.starts_with("battery.") || name.starts_with("ambient.") => {
                (-40.0..=100.0).contains(&number)
            }
            _ => number.is_finite(),
        };
        assert!(
            possible,
            "{} = {number} {} (raw {})",
            fact.name, fact.unit, fact.raw
        );
    }
}

proptest! {
    /// Whatever rows a device has and whatever it answers then, a layout is made within its
    /// limits, decoding ends, and every number it accepts is possible.
    #[test]
    fn any_rows_and_values_make_a_reading_within_the_limits(
        profile in any::<Index>(),
        rows in any_rows(),
        values in vec(any_value(), 1..60),
    ) {
        let profile = builtin(profile);
        let Roots { mut columns, scalars } = profile.roots();
        columns.extend(scalars);
        let rows: Vec<(Oid, Value)> = rows
            .into_iter()
            .filter(|_| !columns.is_empty())
            .filter_map(|(root, index, value)| {
                let oid = Oid::new([root.get(&columns).arcs(), &index].concat()).ok()?;
                Some((oid, value))
            })
            .collect();
        let layout = profile.layout(&rows);
        assert!(layout.definitions().len() <= LAYOUT_FACTS_MAX && layout.places().len() <= LAYOUT_PLACES_MAX);
        let values: Vec<Value> = values.iter().cycle().take(layout.places().len()).cloned().collect();
        check_reading(&layout.decode(None, &values));
        assert_eq!(layout.worth_asking(&values).len(), layout.places().len());
        check_reading(&layout.decode(None, &[]));
        let _ = layout.has_lost_rows(&values);
        let _ = profile.explain(&rows);
        for oid in layout.oids() {
            assert!(layout.definition_of(&oid).is_some());
        }
    }

    /// A file with anything in it is a profile or an error, and never stops another.
    #[test]
    fn a_spoilt_file_is_a_profile_or_an_error(
        which in any::<Index>(),
        cut in any::<Index>(),
        length in 0_usize..60,
        put in prop_oneof!["[ -~]{0,20}", any::<String>(), select(vec![
            "\"rfc1628\"".to_owned(), "{i}".to_owned(), "{index}".to_owned(), "column".to_owned(), "-1".to_owned(),
            "1e400".to_owned(), "nan".to_owned(), "0".to_owned(), "[]".to_owned(), "9".repeat(40),
        ])],
    ) {
        let (_, text) = which.get(&BUILTIN);
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let from = *cut.get(&starts);
        let to = starts.iter().copied().find(|at| *at >= from + length).unwrap_or(text.len());
        let spoilt = format!("{}{put}{}", &text[..from], &text[to..]);
        let (library, bad) = Library::builtin().with(&[("spoilt", &spoilt)]);
        assert!(library.get("rfc1628").is_some());
        assert_eq!(library.get("spoilt").is_some(), bad.is_empty());
        if let Some(profile) = library.get("spoilt") {
            let rows: Vec<(Oid, Value)> = profile
                .roots()
                .columns
                .iter()
                .filter_map(|column| Some((Oid::new([column.arcs(), &[1]].concat()).ok()?, Value::Integer(1))))
                .collect();
            let layout = profile.layout(&rows);
            let values = vec![Value::Integer(1); layout.places().len()];
            let _ = layout.decode(None, &values);
        }
    }

    /// A layout of arbitrary identity finds at most one profile, and it is one that fits.
    #[test]
    fn any_identity_is_ranked(arcs in vec(prop_oneof![0_u32..10, any::<u32>()], 0..14), descr in any::<String>()) {
        let identity = Identity {
            sys_object_id: Oid::new([&[1, 3, 6, 1, 4, 1], arcs.as_slice()].concat()).ok(),
            sys_descr: Some(descr),
        };
        let candidates = Library::builtin().candidates(&identity);
        assert!(candidates.is_sorted_by(|(one, _), (next, _)| one >= next));
        assert!(candidates.iter().all(|(_, profile)| profile.kind() != Kind::Part));
    }
}
