//! What a limit would have done, and which changes of it are taken.

use super::*;

const MINUTE: i64 = 60_000;
const START: i64 = 1_700_000_000_000;

fn limit(side: Side, value: f64, priority: Priority) -> Limit {
    Limit {
        id: format!("inlet.{side:?}.{priority:?}"),
        point: "inlet".to_owned(),
        side,
        limit: value,
        deadband: 0.5,
        on_delay: Millis::from_secs(300),
        off_delay: Millis::from_secs(60),
        priority,
        action: Label::default(),
    }
}

fn high(value: f64) -> Limit {
    limit(Side::High, value, Priority::Advisory)
}

/// A value a minute from `from` on; NaN is the begin of a gap.
fn rows(from: i64, values: &[f64]) -> Vec<Row> {
    (0..)
        .zip(values)
        .map(|(minute, value)| {
            let at = Wall(START + (from + minute) * MINUTE);
            (at, (!value.is_nan()).then_some(*value))
        })
        .collect()
}

fn end(rows: &[Row]) -> Wall {
    rows.last().unwrap().0
}

/// Of a point that is stale after a moment.
fn preview(limit: &Limit, rows: &[Row], until: Wall) -> LimitRun {
    super::preview(limit, Millis(0), rows, until)
}

#[test]
fn a_point_that_is_asked_every_ten_minutes_has_no_gaps_between_its_values() {
    let values = [28.0, 28.0, 28.0, 25.0];
    let rows: Vec<Row> = (0..)
        .zip(values)
        .map(|(n, value)| (Wall(START + n * 10 * MINUTE), Some(value)))
        .collect();
    let limit = Limit {
        on_delay: Millis::from_secs(600),
        ..high(27.0)
    };
    let patient = super::preview(&limit, Millis::from_secs(1_900), &rows, end(&rows));
    assert_eq!((patient.count, patient.known_s), (1, 30 * 60));
    assert_eq!(
        preview(&limit, &rows, end(&rows)).count,
        0,
        "what is stale counts for nothing"
    );
}

#[test]
fn an_excursion_counts_when_it_outlasts_the_delay_and_ends_inside_the_deadband() {
    // Four minutes above are no alarm; ten are one, from the fifth minute to a minute after 26.4.
    let mut values = vec![25.0; 10];
    values.extend([28.0; 4]);
    values.extend([25.0; 10]);
    values.extend([28.0, 28.5, 28.0, 28.0, 28.0, 28.0, 28.0, 28.0, 29.0, 28.0]);
    values.extend([26.8, 26.8, 26.4, 26.4, 25.0]);
    let rows = rows(0, &values);
    let run = preview(&high(27.0), &rows, end(&rows));
    assert_eq!((run.count, run.stands), (1, false));
    let last = &run.last[0];
    assert_eq!(last.raised_ms, START + 29 * MINUTE);
    assert_eq!(last.returned_ms, Some(START + 37 * MINUTE));
    assert_eq!((last.lasted_s, last.worst), (480, 29.0));
    assert_eq!((run.total_s, run.longest_s), (480, 480));
    assert_eq!(run.known_s, 38 * 60);
    // A limit that lies higher, and one that waits less.
    assert_eq!(preview(&high(28.9), &rows, end(&rows)).count, 0);
    let hasty = Limit {
        on_delay: Millis(0),
        ..high(27.0)
    };
    assert_eq!(preview(&hasty, &rows, end(&rows)).count, 2);
}

#[test]
fn a_gap_neither_raises_nor_clears() {
    // Three minutes above, a gap of an hour, three minutes above: never five in a row.
    let mut split = rows(0, &[28.0, 28.0, 28.0, f64::NAN]);
    split.extend(rows(63, &[28.0, 28.0, 28.0, 25.0]));
    assert_eq!(preview(&high(27.0), &split, end(&split)).count, 0);
    // Raised, then silent without a word of it: it stands on, and the time is unknown.
    let mut silent = rows(0, &[28.0; 7]);
    silent.extend(rows(600, &[28.0, 25.0, 25.0, 25.0]));
    let run = preview(&high(27.0), &silent, end(&silent));
    assert_eq!(run.count, 1, "one alarm, not two");
    assert_eq!(run.last[0].returned_ms, Some(START + 602 * MINUTE));
    assert_eq!(
        run.known_s,
        (6 + 3 + 3) * 60,
        "a steady value is kept every minute; three later nobody knows"
    );
}

#[test]
fn an_alarm_that_still_stands_is_counted_with_its_time_so_far() {
    let rows = rows(0, &[28.0; 10]);
    let run = preview(&high(27.0), &rows, Wall(START + 10 * MINUTE));
    assert_eq!((run.count, run.stands, run.total_s), (1, true, 300));
    assert_eq!(run.last[0].returned_ms, None);
}

#[test]
fn a_low_limit_looks_the_other_way_and_no_rows_are_no_alarm() {
    let rows = rows(0, &[14.0, 13.0, 12.0, 13.0, 14.0, 14.0, 14.0, 19.0, 19.0]);
    let low = limit(Side::Low, 15.0, Priority::Critical);
    let run = preview(&low, &rows, end(&rows));
    assert_eq!(
        (run.count, run.last[0].worst),
        (1, 14.0),
        "worst since it was raised"
    );
    let run = preview(&low, &[], Wall(START));
    assert_eq!((run.count, run.known_s, run.last.len()), (0, 0, 0));
}

#[test]
fn the_last_ones_are_listed_newest_first_and_all_are_counted() {
    let mut values = Vec::new();
    for _ in 0..15 {
        values.extend([28.0; 7]);
        values.extend([25.0; 3]);
    }
    let rows = rows(0, &values);
    let run = preview(&high(27.0), &rows, end(&rows));
    assert_eq!((run.count, run.last.len()), (15, MAX_LAST));
    assert!(run.last[0].raised_ms > run.last[9].raised_ms);
    assert!(run.last.iter().all(|one| one.returned_ms.is_some()));
}

#[test]
fn a_preview_says_both_limits_in_one_sentence() {
    let rows = rows(0, &[28.0; 10]);
    let proposal = Proposal {
        present: high(27.0),
        proposed: high(30.0),
        unit: "°C",
        patience: Millis(0),
    };
    let preview = compare(&proposal, 30, &rows, end(&rows));
    assert_eq!(
        preview.summary,
        Label::new(
            "この限界値なら過去 30 日で 0 回（今の限界値では 1 回）",
            "with this limit 0 alarms in the last 30 days (1 with today's limit)"
        )
    );
    assert!(preview.hidden.en.contains("10 s"));
    assert_eq!(preview.from_ms, Some(START));
}

#[test]
fn the_full_history_of_a_month_is_gone_through_in_time() {
    let rows: Vec<Row> = (0..i64::try_from(MAX_PREVIEW_ROWS).unwrap())
        .map(|index| {
            (
                Wall(START + index * 10_000),
                Some(if index % 600 < 60 { 28.0 } else { 25.0 }),
            )
        })
        .collect();
    let run = preview(&high(27.0), &rows, end(&rows));
    assert_eq!(run.count, u32::try_from(MAX_PREVIEW_ROWS / 600).unwrap());
}

#[test]
fn a_change_keeps_to_the_range_and_to_the_order_of_the_priorities() {
    let advisory = high(27.0);
    let critical = limit(Side::High, 32.0, Priority::Critical);
    let low = limit(Side::Low, 15.0, Priority::Critical);
    let others = [advisory.clone(), critical.clone(), low.clone()];
    let check = |limit: &Limit| check(limit, others.iter(), Some((-40.0, 125.0)));
    assert_eq!(check(&advisory), Ok(()), "beside itself as it was");
    assert_eq!(check(&high(31.9)), Ok(()));
    let bad = |limit: &Limit, word: &str| {
        let why = check(limit).unwrap_err();
        assert!(why.en.contains(word), "{}", why.en);
    };
    bad(&high(32.0), "further outside");
    bad(&high(33.0), "further outside");
    let criticalised = Limit {
        limit: 26.0,
        ..critical
    };
    bad(&criticalised, "further outside");
    bad(&high(126.0), "-40 to 125");
    bad(&high(f64::NAN), "numbers");
    bad(&high(15.9), "no room");
    let wide = Limit {
        deadband: 60.0,
        ..high(27.0)
    };
    bad(&wide, "wider");
    let late = Limit {
        on_delay: Millis::from_secs(3601),
        ..high(27.0)
    };
    bad(&late, "at most 3600 s");
    let negative = Limit {
        deadband: -1.0,
        ..high(27.0)
    };
    bad(&negative, "negative");
    // Without a known range only the order counts.
    assert_eq!(super::check(&high(500.0), [].iter(), None), Ok(()));
}
