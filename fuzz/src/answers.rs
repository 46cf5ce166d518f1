//! The guest boundary: random bytes as the result that a handler leaves in its memory.

use crate::area::{Area, bytes_at, number_at};
use crate::boundary::{NOW, answer, creation};
use keyward_runtime::clock::UnixTime;
use serde_json::Value;

/// Runs a guest whose result is `data`: after an even first byte the result of `verify`, after an
/// odd one of `create`.
///
/// The outcome is a verdict or an error that blames the handler. An acceptance equals the guest's
/// result and stays within the policy.
pub fn answers(data: &[u8]) {
    let Some((which, area)) = data.split_first() else { return };
    // Limited to the memory that the guest has for a result.
    let area = &area[..area.len().min(40 << 10)];
    if which % 2 == 1 {
        if let Some(token) = creation(area) {
            says(area, 8, token.as_bytes());
        }
        return;
    }
    let Some(acceptance) = answer(area) else { return };
    assert!(area.first().is_none_or(|ok| *ok == 0) && area.get(8).is_none_or(|accepted| *accepted == 0));
    if area.len() < 96 {
        return;
    }
    assert_eq!(acceptance.issued_at, number_at(area, 64).map(UnixTime::from_seconds));
    assert_eq!(acceptance.expires_at, number_at(area, 80).map(UnixTime::from_seconds));
    assert_eq!(acceptance.token_id.is_some(), area[52] == 1);
    if let Some(id) = &acceptance.token_id {
        says(area, 56, id.as_bytes());
    }
    let json: Value = serde_json::from_str(acceptance.actor_ignoring_restrictions().json()).unwrap();
    assert_eq!(json.get("_r").is_some(), area[24] == 1);
    if let Some(text) = bytes_at(area, 16) {
        let proposed: Value = serde_json::from_slice(text).unwrap();
        let mut members = json.as_object().unwrap().clone();
        members.retain(|name, _| name != "_r" && name != "token_expires");
        assert_eq!(proposed, Value::Object(members));
    }
}

/// Asserts that the address and length at `at` lead to `text`, if they lie within `area`.
fn says(area: &[u8], at: usize, text: &[u8]) {
    assert!(bytes_at(area, at).is_none_or(|told| told == text));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let accepted = |actor: &str| Area::verify().text(16, actor).byte(80, 1).number(88, NOW + 60);
    let restricted = || accepted(r#"{"id":"hostile:alice"}"#).byte(24, 1);
    let verify = [
        accepted(r#"{"id":"hostile:alice"}"#),
        accepted(r#" {"name": [1, -2.5e3, {"a": null}], "id": "hostile:\u0061" } "#),
        accepted(r#"{"id":"root"}"#),
        accepted(r#"{"id":7}"#),
        accepted(r#"{"id":"hostile:a"}"#).byte(52, 1).text(56, "token 7"),
        accepted(r#"{"id":"hostile:a"}"#).byte(64, 1).number(72, NOW),
        restricted(),
        restricted().texts(28, &["vi", "ir"]),
        restricted().tuples(36, &[(&["d"], &["vi"]), (&["e"], &[]), (&["d"], &["x"])]),
        restricted().tuples(44, &[(&["d", "r"], &["vi", "ir"]), (&["e", "r"], &[]), (&["d", "r"], &["x"])]),
        restricted()
            .texts(28, &["vi"])
            .tuples(36, &[(&["d"], &["vi"])])
            .tuples(44, &[(&["d", "r"], &["vi"])])
            .byte(52, 1)
            .text(56, "id")
            .byte(64, 1)
            .number(72, NOW - 60),
        Area::verify().byte(8, 1),
        Area::verify().byte(8, 2).byte(16, 3).text(20, "no"),
        Area::verify().byte(0, 1).text(12, "not there"),
        Area::verify().byte(0, 1).byte(8, 1).text(12, "at fault"),
    ];
    let create = [
        Area::create().text(8, "ho_made").byte(32, 1).number(40, NOW + 1),
        Area::create().text(8, "ho_made").byte(16, 1).text(20, "id").byte(32, 1).number(40, NOW + 60),
        Area::create().byte(0, 1).byte(12, 1).text(16, "no"),
        Area::create().byte(0, 1).byte(8, 1).text(16, "not there"),
    ];
    let input = |which: u8, area: Area| [vec![which], area.0].concat();
    verify.into_iter().map(|area| input(0, area)).chain(create.into_iter().map(|area| input(1, area))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are all rejected would test nothing.
    #[test]
    fn seeds_reach_what_they_are_for() {
        let accepted = |seed: &Vec<u8>| {
            answer(&seed[1..]).map(|acceptance| acceptance.actor_ignoring_restrictions().json().to_owned())
        };
        let seeds = seeds();
        let actors: Vec<_> = seeds.iter().filter(|seed| seed[0] == 0).filter_map(accepted).collect();
        assert_eq!(actors.len(), 9, "{actors:?}");
        let end = NOW + 60;
        assert_eq!(actors[0], format!(r#"{{"id":"hostile:alice","token_expires":{end}}}"#));
        assert_eq!(
            actors[7],
            format!(
                r#"{{"id":"hostile:alice","_r":{{"r":{{"d":{{"r":["vi","ir","x"]}},"e":{{"r":[]}}}}}},"token_expires":{end}}}"#
            )
        );
        let tokens = seeds.iter().filter(|seed| seed[0] == 1).filter_map(|seed| creation(&seed[1..]));
        assert_eq!(tokens.collect::<Vec<_>>(), ["ho_made", "ho_made"]);
    }
}
