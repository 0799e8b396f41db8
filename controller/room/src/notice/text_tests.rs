//! What people and machines read, word for word. The JSON is a contract: a difference in it is a
//! mistake unless a key was added.
// Long because texts stand here word for word.

use super::document::document;
use super::template::{LINE_WORKS_TEXT, SLACK_HEADER, SLACK_SECTION, body};
use super::text::{Language, MAX_PIECE, MAX_SUBJECT, line, rfc3339, text};
use super::{About, Lamp, Light, Moment, Notice, Summary, Told};
use crate::site::notifier::webhook::Template;
use crate::site::{Label, Priority};
use crate::time::{Millis, Wall};
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// 2026-04-01 09:05:03 in Japan.
const SINCE: Wall = Wall(1_775_001_903_000);

fn told(moment: Moment) -> Told {
    Told {
        moment,
        alarm: "leak.1.wet".into(),
        priority: Priority::Critical,
        class: "water".into(),
        what: Label::new("漏水", "Water leak"),
        place: Label::new("空調機の下", "below the air conditioner"),
        because: Label::new("漏水検知帯 1 が濡れています", "leak rope 1 is wet"),
        cause: Label::new(
            "空調機の排水の詰まり",
            "the drain of the air conditioner is blocked",
        ),
        consequence: Label::new(
            "床下の配線が濡れ、停電します",
            "wiring below the floor gets wet and fails",
        ),
        action: Label::new(
            "空調機を止め、水を拭き取る",
            "stop the air conditioner and mop up the water",
        ),
        respond_within: Millis::from_secs(900),
        owner: None,
        procedure: Some("https://docs.city.example/3-2".into()),
        since: SINCE,
        lasted: Millis::from_secs(372),
        count: 1,
        folded: 0,
    }
}

fn notice(about: About) -> Notice {
    Notice {
        key: "leak.1.wet/17/duty/1/raised".into(),
        attempt: 1,
        notifier: "mail".into(),
        to: Some("duty@city.example".into()),
        contact: Some("山田 太郎".into()),
        at: Wall(SINCE.0 + 1000),
        site: Label::new("本庁サーバー室", "Main server room"),
        simulated: false,
        about,
    }
}

fn alarm(moment: Moment) -> Notice {
    notice(About::Alarm(Box::new(told(moment))))
}

fn read(notice: &Notice, language: Language, expected: Expect) {
    let text = text(notice, language, 540);
    expected.assert_eq(&format!("{}\n\n{}", text.subject, text.body));
}

#[test]
fn whoever_is_called_at_night_reads_what_where_since_when_and_what_to_do() {
    read(
        &alarm(Moment::Raised),
        Language::Ja,
        expect![[r#"
            【重大】発生: 漏水(空調機の下) 本庁サーバー室

            状態: 重大 発生
            何が: 漏水
            どこで: 空調機の下(本庁サーバー室)
            いつから: 2026年4月1日(水) 09:05:03
            継続時間: 6分12秒
            状況: 漏水検知帯 1 が濡れています
            すること: 空調機を止め、水を拭き取る
            いつまでに: 2026年4月1日(水) 09:20:03(発生から15分以内)
            担当: 未定。画面で「対応する」を押した人が担当です
            手順書: https://docs.city.example/3-2
            考えられる原因: 空調機の排水の詰まり
            放置すると: 床下の配線が濡れ、停電します
            警報: leak.1.wet

            -- 
            自動送信 Yagura / 通知番号 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
    read(
        &alarm(Moment::Raised),
        Language::En,
        expect![[r#"
            [Critical] raised: Water leak (below the air conditioner) Main server room

            State: Critical raised
            What: Water leak
            Where: below the air conditioner (Main server room)
            Since: Wed 2026-04-01 09:05:03
            For: 6 min 12 s
            Because: leak rope 1 is wet
            What to do: stop the air conditioner and mop up the water
            By when: Wed 2026-04-01 09:20:03 (within 15 min)
            Who has it: nobody yet; who acknowledges it on the page has it
            Procedure: https://docs.city.example/3-2
            Probable cause: the drain of the air conditioner is blocked
            If nobody acts: wiring below the floor gets wet and fails
            Alarm: leak.1.wet

            -- 
            Sent by Yagura / notice 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
}

#[test]
fn what_comes_later_says_how_long_and_who_has_it() {
    let mut reminder = told(Moment::Reminder);
    reminder.owner = Some(Label::new("施設管理担当", "Facilities staff"));
    reminder.count = 3;
    reminder.folded = 14;
    reminder.lasted = Millis::from_secs(2 * 3600 + 180);
    let mut reminder = notice(About::Alarm(Box::new(reminder)));
    reminder.simulated = true;
    read(
        &reminder,
        Language::Ja,
        expect![[r#"
            【模擬】【重大】2時間3分継続中: 漏水(空調機の下) 本庁サーバー室

            状態: 重大 2時間3分継続中
            何が: 漏水
            どこで: 空調機の下(本庁サーバー室)
            いつから: 2026年4月1日(水) 09:05:03
            継続時間: 2時間3分
            状況: 漏水検知帯 1 が濡れています
            すること: 空調機を止め、水を拭き取る
            いつまでに: 2026年4月1日(水) 09:20:03(発生から15分以内)
            担当: 施設管理担当
            手順書: https://docs.city.example/3-2
            考えられる原因: 空調機の排水の詰まり
            放置すると: 床下の配線が濡れ、停電します
            回数: 正常に戻る前に 3 回発生
            関連: これに伴う警報 14 件は個別に通知しません
            警報: leak.1.wet

            模擬の部屋からの通知です。実際の設備の異常ではありません。

            -- 
            自動送信 Yagura / 通知番号 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
    read(
        &reminder,
        Language::En,
        expect![[r#"
            [SIMULATED] [Critical] still standing after 2 h 3 min: Water leak (below the air conditioner) Main server room

            State: Critical still standing after 2 h 3 min
            What: Water leak
            Where: below the air conditioner (Main server room)
            Since: Wed 2026-04-01 09:05:03
            For: 2 h 3 min
            Because: leak rope 1 is wet
            What to do: stop the air conditioner and mop up the water
            By when: Wed 2026-04-01 09:20:03 (within 15 min)
            Who has it: Facilities staff
            Procedure: https://docs.city.example/3-2
            Probable cause: the drain of the air conditioner is blocked
            If nobody acts: wiring below the floor gets wet and fails
            Count: raised 3 times since it was last normal
            Folded: 14 alarms that follow from it are not told singly
            Alarm: leak.1.wet

            This comes from a simulated room. No real equipment is concerned.

            -- 
            Sent by Yagura / notice 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
    read(
        &alarm(Moment::Returned),
        Language::Ja,
        expect![[r#"
            【重大】復旧: 漏水(空調機の下) 本庁サーバー室

            状態: 重大 復旧
            何が: 漏水
            どこで: 空調機の下(本庁サーバー室)
            いつから: 2026年4月1日(水) 09:05:03
            継続時間: 6分12秒
            状況: 漏水検知帯 1 が濡れています
            すること: 正常に戻りました。原因を確かめ、画面で確認してください。
            いつまでに: 期限なし(復旧済み)
            担当: 未定。画面で「対応する」を押した人が担当です
            手順書: https://docs.city.example/3-2
            考えられる原因: 空調機の排水の詰まり
            警報: leak.1.wet

            -- 
            自動送信 Yagura / 通知番号 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
    let subjects: Vec<String> = [
        Moment::Escalated,
        Moment::Acknowledged,
        Moment::Shelved,
        Moment::Returned,
    ]
    .into_iter()
    .flat_map(|moment| {
        [Language::Ja, Language::En].map(|language| text(&alarm(moment), language, 540).subject)
    })
    .collect();
    expect![[r#"
        【重大】6分12秒対応者なし: 漏水(空調機の下) 本庁サーバー室
        [Critical] nobody has it after 6 min 12 s: Water leak (below the air conditioner) Main server room
        【重大】対応中: 漏水(空調機の下) 本庁サーバー室
        [Critical] somebody has it: Water leak (below the air conditioner) Main server room
        【重大】一時保留: 漏水(空調機の下) 本庁サーバー室
        [Critical] shelved: Water leak (below the air conditioner) Main server room
        【重大】復旧: 漏水(空調機の下) 本庁サーバー室
        [Critical] returned to normal: Water leak (below the air conditioner) Main server room"#]]
    .assert_eq(&subjects.join("\n"));
}

#[test]
fn an_alarm_without_procedure_owner_or_figures_says_so_in_no_empty_line() {
    let mut bare = told(Moment::Raised);
    bare.procedure = None;
    bare.because = Label::default();
    bare.place = Label::default();
    bare.lasted = Millis(0);
    read(
        &notice(About::Alarm(Box::new(bare))),
        Language::Ja,
        expect![[r#"
            【重大】発生: 漏水 本庁サーバー室

            状態: 重大 発生
            何が: 漏水
            どこで: 本庁サーバー室
            いつから: 2026年4月1日(水) 09:05:03
            すること: 空調機を止め、水を拭き取る
            いつまでに: 2026年4月1日(水) 09:20:03(発生から15分以内)
            担当: 未定。画面で「対応する」を押した人が担当です
            手順書: 登録なし
            考えられる原因: 空調機の排水の詰まり
            放置すると: 床下の配線が濡れ、停電します
            警報: leak.1.wet

            -- 
            自動送信 Yagura / 通知番号 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
}

fn summary() -> Notice {
    notice(About::Summary(Summary {
        counts: [1, 7, 2],
        some: vec![
            (
                Priority::Critical,
                Label::new("停電", "Power lost"),
                Label::new("UPS 1", "UPS 1"),
            ),
            (
                Priority::Warning,
                Label::new("応答なし", "Silent"),
                Label::default(),
            ),
        ],
        returned: 0,
    }))
}

#[test]
fn what_is_over_is_told_together_too() {
    let over = |counts| {
        let mut notice = summary();
        if let About::Summary(summary) = &mut notice.about {
            summary.counts = counts;
            summary.returned = 3;
            summary.some.clear();
        }
        let told = text(&notice, Language::Ja, 540);
        (told.subject, told.body.contains("3 件が復旧しました"))
    };
    assert_eq!(
        over([0, 0, 0]),
        ("【まとめ】警報 3 件が復旧 本庁サーバー室".to_owned(), true)
    );
    assert!(over([1, 0, 0]).1);
}

#[test]
fn many_alarms_are_told_together() {
    read(
        &summary(),
        Language::Ja,
        expect![[r#"
            【まとめ】警報 10 件(重大 1、警告 7、注意 2) 本庁サーバー室

            警報が続いたため、まとめて知らせます。
            何が: 警報 10 件(重大 1、警告 7、注意 2)
            どこで: 本庁サーバー室
            いつ: 2026年4月1日(水) 09:05:04
            すること: 画面の警報一覧を開き、上から順に対応してください。
            いつまでに: 警報ごとに異なります。一覧に示します。
            担当: 警報ごとに、一覧で「対応する」を押した人です。
            手順書: 一覧の各警報にあります。
              【重大】 停電(UPS 1)
              【警告】 応答なし
              ほか 8 件

            -- 
            自動送信 Yagura / 通知番号 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
    read(
        &summary(),
        Language::En,
        expect![[r#"
            [Summary] 10 alarms (Critical 1, Warning 7, Advisory 2) Main server room

            Alarms came one after the other, so they are told together.
            What: 10 alarms (Critical 1, Warning 7, Advisory 2)
            Where: Main server room
            When: Wed 2026-04-01 09:05:04
            What to do: open the alarm list and begin at its top.
            By when: each alarm has its own time; the list shows it.
            Who has it: whoever acknowledges an alarm in the list.
            Procedure: with each alarm of the list.
              [Critical] Power lost (UPS 1)
              [Warning] Silent
              and 8 more

            -- 
            Sent by Yagura / notice 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
}

#[test]
fn a_test_call_says_that_nothing_is_wrong_and_names_nobody() {
    let test = notice(About::Test {
        by: "山田 太郎".into(),
    });
    read(
        &test,
        Language::Ja,
        expect![[r#"
            【試験】通知の試験です 本庁サーバー室

            何が: 通知が届くかどうかの試験です。異常はありません。
            どこで: 本庁サーバー室
            いつ: 2026年4月1日(水) 09:05:04
            すること: 届いたことを、試験をした担当に伝えてください。
            いつまでに: 本日中
            担当: 試験をした人
            手順書: 不要

            -- 
            自動送信 Yagura / 通知番号 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
    read(
        &test,
        Language::En,
        expect![[r#"
            [Test] A test of notices Main server room

            What: a test whether notices arrive. Nothing is wrong.
            Where: Main server room
            When: Wed 2026-04-01 09:05:04
            What to do: tell whoever makes the test that it arrived.
            By when: today
            Who has it: whoever makes the test
            Procedure: none is needed

            -- 
            Sent by Yagura / notice 3dbcfb535e4b37e3723c2199e1883271
        "#]],
    );
}

#[test]
fn heartbeats_and_lamps_are_told_in_a_line() {
    let lamp = Lamp {
        red: Light::Flashing,
        green: Light::Steady,
        buzzer: true,
        ..Lamp::default()
    };
    let subjects = [
        About::Heartbeat { count: 12 },
        About::Lamp(lamp),
        About::Lamp(Lamp::default()),
    ]
    .map(|about| text(&notice(about), Language::Ja, 540).subject);
    expect![[r#"
        【正常】監視は動いています 本庁サーバー室
        信号灯: 赤 点滅、緑 点灯、ブザー 本庁サーバー室
        信号灯: 消灯 本庁サーバー室"#]]
    .assert_eq(&subjects.join("\n"));
}

fn golden(value: &serde_json::Value, expected: Expect) {
    expected.assert_eq(&serde_json::to_string_pretty(value).unwrap());
}

#[test]
fn the_json_of_a_notice_is_a_contract() {
    let json = |notice: &Notice| serde_json::to_value(document(notice, Language::Ja, 540)).unwrap();
    golden(
        &json(&alarm(Moment::Raised)),
        expect![[r#"
            {
              "alarm": {
                "action": {
                  "en": "stop the air conditioner and mop up the water",
                  "ja": "空調機を止め、水を拭き取る"
                },
                "because": {
                  "en": "leak rope 1 is wet",
                  "ja": "漏水検知帯 1 が濡れています"
                },
                "cause": {
                  "en": "the drain of the air conditioner is blocked",
                  "ja": "空調機の排水の詰まり"
                },
                "class": "water",
                "consequence": {
                  "en": "wiring below the floor gets wet and fails",
                  "ja": "床下の配線が濡れ、停電します"
                },
                "count": 1,
                "folded": 0,
                "id": "leak.1.wet",
                "lasted_s": 372,
                "moment": "raised",
                "owner": null,
                "place": {
                  "en": "below the air conditioner",
                  "ja": "空調機の下"
                },
                "priority": "critical",
                "procedure": "https://docs.city.example/3-2",
                "respond_by": "2026-04-01T00:20:03.000Z",
                "respond_within_s": 900,
                "since": "2026-04-01T00:05:03.000Z",
                "what": {
                  "en": "Water leak",
                  "ja": "漏水"
                }
              },
              "at": "2026-04-01T00:05:04.000Z",
              "attempt": 1,
              "key": "3dbcfb535e4b37e3723c2199e1883271",
              "kind": "alarm",
              "notifier": "mail",
              "simulated": false,
              "site": {
                "en": "Main server room",
                "ja": "本庁サーバー室"
              },
              "subject": "【重大】発生: 漏水(空調機の下) 本庁サーバー室",
              "text": "状態: 重大 発生\n何が: 漏水\nどこで: 空調機の下(本庁サーバー室)\nいつから: 2026年4月1日(水) 09:05:03\n継続時間: 6分12秒\n状況: 漏水検知帯 1 が濡れています\nすること: 空調機を止め、水を拭き取る\nいつまでに: 2026年4月1日(水) 09:20:03(発生から15分以内)\n担当: 未定。画面で「対応する」を押した人が担当です\n手順書: https://docs.city.example/3-2\n考えられる原因: 空調機の排水の詰まり\n放置すると: 床下の配線が濡れ、停電します\n警報: leak.1.wet\n\n-- \n自動送信 Yagura / 通知番号 3dbcfb535e4b37e3723c2199e1883271\n",
              "to": "duty@city.example",
              "version": 1
            }"#]],
    );
    golden(
        &json(&summary())["summary"],
        expect![[r#"
            {
              "advisory": 2,
              "critical": 1,
              "returned": 0,
              "some": [
                {
                  "place": {
                    "en": "UPS 1",
                    "ja": "UPS 1"
                  },
                  "priority": "critical",
                  "what": {
                    "en": "Power lost",
                    "ja": "停電"
                  }
                },
                {
                  "place": {
                    "en": "",
                    "ja": ""
                  },
                  "priority": "warning",
                  "what": {
                    "en": "Silent",
                    "ja": "応答なし"
                  }
                }
              ],
              "warning": 7
            }"#]],
    );
    let lamp = json(&notice(About::Lamp(Lamp::default())));
    golden(
        &lamp["lamp"],
        expect![[r#"
        {
          "amber": "off",
          "blue": "off",
          "buzzer": false,
          "green": "off",
          "red": "off",
          "white": "off"
        }"#]],
    );
    golden(
        &json(&notice(About::Heartbeat { count: 3 }))["heartbeat"],
        expect![[r#"
            {
              "count": 3
            }"#]],
    );
}

#[test]
fn chat_services_get_their_own_form() {
    let mut short = told(Moment::Returned);
    short.cause = Label::default();
    short.consequence = Label::default();
    let short = notice(About::Alarm(Box::new(short)));
    golden(
        &body(Template::Slack, &short, Language::En, 540),
        expect![[r#"
            {
              "blocks": [
                {
                  "text": {
                    "emoji": false,
                    "text": "[Critical] returned to normal: Water leak (below the air conditioner) Main server room",
                    "type": "plain_text"
                  },
                  "type": "header"
                },
                {
                  "text": {
                    "emoji": false,
                    "text": "State: Critical returned to normal\nWhat: Water leak\nWhere: below the air conditioner (Main server room)\nSince: Wed 2026-04-01 09:05:03\nFor: 6 min 12 s\nBecause: leak rope 1 is wet\nWhat to do: It is normal again. Find out why it was not, and acknowledge it on the page.\nBy when: no limit (it has returned)\nWho has it: nobody yet; who acknowledges it on the page has it\nProcedure: https://docs.city.example/3-2\nAlarm: leak.1.wet\n\n-- \nSent by Yagura / notice 3dbcfb535e4b37e3723c2199e1883271\n",
                    "type": "plain_text"
                  },
                  "type": "section"
                }
              ],
              "text": "[Critical] returned to normal: Water leak (below the air conditioner) Main server room"
            }"#]],
    );
    golden(
        &body(Template::Teams, &short, Language::En, 540),
        expect![[r#"
            {
              "attachments": [
                {
                  "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "actions": [
                      {
                        "title": "Open the procedure",
                        "type": "Action.OpenUrl",
                        "url": "https://docs.city.example/3-2"
                      }
                    ],
                    "body": [
                      {
                        "inlines": [
                          {
                            "color": "Good",
                            "size": "Medium",
                            "text": "[Critical] returned to normal: Water leak (below the air conditioner) Main server room",
                            "type": "TextRun",
                            "weight": "Bolder"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "State: Critical returned to normal",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "What: Water leak",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "Where: below the air conditioner (Main server room)",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "Since: Wed 2026-04-01 09:05:03",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "For: 6 min 12 s",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "Because: leak rope 1 is wet",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "What to do: It is normal again. Find out why it was not, and acknowledge it on the page.",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "By when: no limit (it has returned)",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "Who has it: nobody yet; who acknowledges it on the page has it",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "Procedure: https://docs.city.example/3-2",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "Alarm: leak.1.wet",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "-- ",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      },
                      {
                        "inlines": [
                          {
                            "text": "Sent by Yagura / notice 3dbcfb535e4b37e3723c2199e1883271",
                            "type": "TextRun"
                          }
                        ],
                        "type": "RichTextBlock"
                      }
                    ],
                    "type": "AdaptiveCard",
                    "version": "1.4"
                  },
                  "contentType": "application/vnd.microsoft.card.adaptive",
                  "contentUrl": null
                }
              ],
              "type": "message"
            }"#]],
    );
    golden(
        &body(Template::LineWorks, &short, Language::Ja, 540),
        expect![[r#"
            {
              "content": {
                "text": "【重大】復旧: 漏水(空調機の下) 本庁サーバー室\n\n状態: 重大 復旧\n何が: 漏水\nどこで: 空調機の下(本庁サーバー室)\nいつから: 2026年4月1日(水) 09:05:03\n継続時間: 6分12秒\n状況: 漏水検知帯 1 が濡れています\nすること: 正常に戻りました。原因を確かめ、画面で確認してください。\nいつまでに: 期限なし(復旧済み)\n担当: 未定。画面で「対応する」を押した人が担当です\n手順書: https://docs.city.example/3-2\n警報: leak.1.wet\n\n-- \n自動送信 Yagura / 通知番号 3dbcfb535e4b37e3723c2199e1883271",
                "type": "text"
              }
            }"#]],
    );
}

#[test]
fn words_of_a_device_call_nobody_in_a_chat() {
    let mut evil = told(Moment::Raised);
    evil.what = Label::new(
        "<!channel> <https://evil.example|here> & *x*",
        "<m userId=\"all\"> [x](https://evil.example)",
    );
    let evil = notice(About::Alarm(Box::new(evil)));
    let slack = body(Template::Slack, &evil, Language::Ja, 540);
    assert!(!slack["text"].as_str().unwrap().contains('<'), "{slack}");
    assert!(
        slack["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|block| block["text"]["type"] == "plain_text")
    );
    let works = body(Template::LineWorks, &evil, Language::En, 540);
    assert!(
        !works["content"]["text"].as_str().unwrap().contains('<'),
        "{works}"
    );
    let teams = body(Template::Teams, &evil, Language::En, 540).to_string();
    assert!(
        !teams.contains("\"TextBlock\""),
        "Markdown is read in these: {teams}"
    );
}

#[test]
fn moments_are_shown_at_the_ends_of_every_calendar() {
    for (at, expected) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_827_696_789, "2000-02-29T12:34:56.789Z"),
        (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (1_775_001_903_000, "2026-04-01T00:05:03.000Z"),
    ] {
        assert_eq!(rfc3339(Wall(at)), expected);
    }
}

#[test]
fn what_comes_from_outside_is_one_visible_line() {
    assert_eq!(line("a\r\nBcc: b\tc\0d"), "a  Bcc: b c d");
    assert_eq!(line("\u{202e}txt.exe\u{2066}\u{feff}\u{200b}"), "txt.exe");
    assert_eq!(line("一\u{2028}二"), "一 二");
    assert_eq!(line(&"あ".repeat(10_000)).chars().count(), MAX_PIECE + 1);
    assert_eq!(line("👩\u{200d}🚒 ok"), "👩\u{200d}🚒 ok");
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\r\n\t\0]{0,60}",
        proptest::collection::vec(any::<char>(), 0..80).prop_map(|chars| chars.into_iter().collect()),
        Just("\u{202e}\u{2066}\r\n.\r\nMAIL FROM:<x@y>\r\n<!everyone>".to_owned()),
        Just("長".repeat(10_000)),
    ]
}

fn any_label() -> impl Strategy<Value = Label> {
    (any_text(), any_text()).prop_map(|(ja, en)| Label::new(ja, en))
}

fn any_notice() -> impl Strategy<Value = Notice> {
    let moments = proptest::sample::select(vec![
        Moment::Raised,
        Moment::Escalated,
        Moment::Reminder,
        Moment::Acknowledged,
        Moment::Shelved,
        Moment::Returned,
    ]);
    let labels = (
        any_label(),
        any_label(),
        any_label(),
        any_label(),
        any_label(),
        any_label(),
    );
    let told = (
        moments,
        labels,
        any_text(),
        any::<Option<String>>(),
        any_text(),
        any::<(i64, u64, u64, u32)>(),
    )
        .prop_map(
            |(
                moment,
                (what, place, because, cause, consequence, action),
                alarm,
                owner,
                procedure,
                numbers,
            )| {
                About::Alarm(Box::new(Told {
                    moment,
                    alarm,
                    priority: Priority::Warning,
                    class: procedure.clone(),
                    what,
                    place,
                    because,
                    cause,
                    consequence,
                    action,
                    respond_within: Millis(numbers.1),
                    owner: owner.map(|owner| Label::new(owner.clone(), owner)),
                    procedure: Some(procedure),
                    since: Wall(numbers.0),
                    lasted: Millis(numbers.2),
                    count: numbers.3,
                    folded: 2,
                }))
            },
        );
    let some = proptest::collection::vec((any_label(), any_label()), 0..40);
    let summary = (any::<[usize; 3]>(), some).prop_map(|(counts, some)| {
        let some = some
            .into_iter()
            .map(|(what, place)| (Priority::Advisory, what, place));
        About::Summary(Summary {
            counts,
            some: some.collect(),
            returned: counts[0],
        })
    });
    let about = prop_oneof![told, summary, any_text().prop_map(|by| About::Test { by })];
    (about, any_text(), any_label(), any::<i64>(), any::<bool>()).prop_map(
        |(about, key, site, at, simulated)| Notice {
            key,
            attempt: 1,
            notifier: "mail".into(),
            to: Some("duty@city.example".into()),
            contact: None,
            at: Wall(at),
            site,
            simulated,
            about,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a device or a person wrote: no header or command can be begun in a subject, nothing
    /// in a text is hidden, and every body stays below what the services take.
    #[test]
    fn no_text_breaks_out_of_its_place(notice in any_notice(), offset in -900_i16..900) {
        for language in [Language::Ja, Language::En] {
            let read = text(&notice, language, offset);
            prop_assert!(read.subject.chars().count() <= MAX_SUBJECT);
            prop_assert!(!read.subject.chars().any(char::is_control), "{:?}", read.subject);
            prop_assert!(!read.body.chars().any(|ch| ch.is_control() && ch != '\n'), "{:?}", read.body);
            let hides = read.body.contains(['\u{202e}', '\u{2066}', '\u{2028}']);
            prop_assert!(!hides, "{:?}", read.body);
            let slack = body(Template::Slack, &notice, language, offset);
            let blocks = slack["blocks"].as_array().unwrap();
            prop_assert!(blocks[0]["text"]["text"].as_str().unwrap().chars().count() <= SLACK_HEADER);
            prop_assert!(blocks[1]["text"]["text"].as_str().unwrap().chars().count() <= SLACK_SECTION);
            let works = body(Template::LineWorks, &notice, language, offset);
            prop_assert!(works["content"]["text"].as_str().unwrap().chars().count() <= LINE_WORKS_TEXT);
            prop_assert!(body(Template::Teams, &notice, language, offset).to_string().len() < 28 * 1024);
            let generic = body(Template::Generic, &notice, language, offset).to_string();
            let again: serde_json::Value = serde_json::from_str(&generic).unwrap();
            prop_assert_eq!(again["version"].as_u64(), Some(1));
        }
    }
}
