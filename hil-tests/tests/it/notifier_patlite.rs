//! A signal tower that hangs, refuses, vanishes and comes back.

use super::notifier_syslog::{leak, notice, sender_of};
use controller::core::notifier::Sender;
use hil_tests::tower::{Manner, Speech, Tower};
use room::notice::{About, Lamp, Light, Moment};
use room::site::notifier::Endpoint;
use room::site::notifier::patlite::{Category, Form, Patlite};
use room::time::Millis;

const NOBODY_HAS_IT: Lamp = Lamp {
    red: Light::Flashing,
    amber: Light::Off,
    green: Light::Off,
    blue: Light::Steady,
    white: Light::Off,
    buzzer: true,
};
const SOMEBODY_HAS_IT: Lamp = Lamp {
    red: Light::Steady,
    buzzer: false,
    ..NOBODY_HAS_IT
};

fn sender(tower: &Tower, form: Form) -> Sender {
    sender_of(Endpoint::Patlite(Patlite {
        addr: tower.addr,
        form,
        buzzer: 1,
        timeout: Millis(500),
    }))
}

#[tokio::test]
async fn an_alarm_flashes_until_somebody_has_it_and_a_tower_that_came_back_is_told_again() {
    for (speech, form) in [
        (Speech::Pns(*b"AB"), Form::Pns(Category::Ab)),
        (Speech::Pns(*b"XX"), Form::Pns(Category::Xx)),
        (Speech::Http, Form::Http),
    ] {
        let mut tower = Tower::start(speech).await;
        let mut sender = sender(&tower, form);
        let flashing = notice(About::Lamp(NOBODY_HAS_IT));
        let steady = notice(About::Lamp(SOMEBODY_HAS_IT));
        sender.send(&flashing).await.unwrap();
        assert!(tower.shows_lamp(NOBODY_HAS_IT), "{:?}", tower.shows());
        sender.send(&steady).await.unwrap();
        assert!(tower.shows_lamp(SOMEBODY_HAS_IT), "{:?}", tower.shows());

        tower.behave(Manner::Refuses);
        let refused = sender.send(&flashing).await.unwrap_err();
        assert!(
            !refused.retryable && refused.problem.contains("refuses"),
            "{refused:?}"
        );
        assert!(tower.shows_lamp(SOMEBODY_HAS_IT), "a refusal changes nothing");
        tower.behave(Manner::Hangs);
        let hung = sender.send(&flashing).await.unwrap_err();
        assert!(
            hung.retryable && hung.problem.contains("did not answer"),
            "{hung:?}"
        );
        tower.vanish().await;
        assert!(sender.send(&flashing).await.unwrap_err().retryable);
        tower.behave(Manner::Obeys);
        tower.return_dark().await;
        sender.send(&flashing).await.unwrap();
        assert!(tower.shows_lamp(NOBODY_HAS_IT), "{:?}", tower.shows());
    }
}

#[tokio::test]
async fn a_lamp_test_shows_every_light_and_then_what_was_shown_before() {
    let tower = Tower::start(Speech::Pns(*b"AB")).await;
    let mut sender = sender(&tower, Form::Pns(Category::Ab));
    sender.send(&notice(About::Lamp(SOMEBODY_HAS_IT))).await.unwrap();
    sender
        .send(&notice(About::Test { by: "施設".into() }))
        .await
        .unwrap();
    assert_eq!(
        tower.history(),
        [[1, 0, 0, 1, 0, 0], [2, 2, 2, 2, 2, 1], [1, 0, 0, 1, 0, 0]]
    );
}

#[tokio::test]
async fn a_tower_of_another_series_says_so_instead_of_staying_dark() {
    let tower = Tower::start(Speech::Pns(*b"XX")).await;
    let mut sender = sender(&tower, Form::Pns(Category::Ab));
    let wrong = sender
        .send(&notice(About::Lamp(NOBODY_HAS_IT)))
        .await
        .unwrap_err();
    assert!(
        !wrong.retryable && wrong.problem.contains("category"),
        "{wrong:?}"
    );
    assert!(!sender.send(&leak(Moment::Raised)).await.unwrap_err().retryable);
}
