//! The end of the store's revocation list, as noted beside the audit log.

use super::*;
use keyward_audit::{ListEnd, noted_list};

fn end(number: u64) -> ListEnd {
    ListEnd { number, digest: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
}

#[test]
fn the_greatest_number_is_noted_until_an_operator_accepts_another() {
    let place = Place::new();
    assert_eq!(noted_list(place.file()).unwrap(), None);
    let (here, there) = (place.open(), place.open());
    here.record_blocking(entry(1)).unwrap();
    assert_eq!(noted_list(place.file()).unwrap(), None);
    for (audit, number, noted) in [(&here, 7, 7), (&there, 5, 7), (&there, 9, 9), (&here, 8, 9)] {
        audit.note_list(end(number));
        assert!(audit.flush());
        assert_eq!(noted_list(place.file()).unwrap(), Some(end(noted)));
        // The note is kept when lines are written.
        here.record_blocking(entry(number)).unwrap();
        assert_eq!(noted_list(place.file()).unwrap(), Some(end(noted)));
        place.is_whole();
    }
    there.accept_list(end(3));
    assert!(there.flush());
    assert_eq!(noted_list(place.file()).unwrap(), Some(end(3)));
    here.record_blocking(entry("later")).unwrap();
    assert_eq!(noted_list(place.file()).unwrap(), Some(end(3)), "the earlier note does not return");
    here.note_list(end(4));
    assert!(here.flush());
    assert_eq!(noted_list(place.file()).unwrap(), Some(end(4)));
    assert_eq!(place.head(), here.status().head);
}

#[test]
fn a_head_without_the_note_is_read() {
    let place = Place::new();
    let audit = place.open();
    audit.record_blocking(entry(1)).unwrap();
    audit.note_list(end(1));
    assert!(audit.flush());
    let head = audit.status().head;
    drop(audit);
    fs::write(place.folder.path().join("audit.jsonl.head"), format!("{head}\n")).unwrap();
    assert_eq!(noted_list(place.file()).unwrap(), None);
    let verified = verify(place.file(), Some(&head)).unwrap();
    assert_eq!((verified.problem, verified.has_head), (None, true));
}
