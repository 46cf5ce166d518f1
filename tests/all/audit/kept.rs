//! Retention of rotated files: the remaining files can still be verified.

use super::{Place, any_entry, entry};
use keyward_audit::{AnchorCheck, Defect, verify};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn files_are_named_by_their_first_record_and_readable_by_their_owner_only() {
    let mut place = Place::new();
    place.settings.rotate_bytes = 1;
    place.write((1..=11).map(entry));
    let names: Vec<_> =
        place.files().iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 11);
    assert_eq!((names[0].as_str(), names[9].as_str()), ("audit.jsonl.000000000001", "audit.jsonl.000000000010"));
    for file in fs::read_dir(place.folder.path()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    place.is_whole();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_removal_leaves_the_rest_verifiable(
        entries in proptest::collection::vec((any_entry(), 0..40_u64), 2..30),
        rotate in prop_oneof![Just(1), 300..3_000_u64],
        keep_files in proptest::option::of(0..4_u32),
        keep_days in proptest::option::of(1..90_u32),
    ) {
        let mut place = Place::new();
        place.settings.rotate_bytes = rotate;
        (place.settings.keep_files, place.settings.keep_days) = (keep_files, keep_days);
        let mut heads = Vec::new();
        for (entry, days) in entries {
            place.hand.forward(DAY * u32::try_from(days).unwrap());
            heads.extend(place.write([entry]));
            let verified = verify(place.file(), None).unwrap();
            prop_assert_eq!(&verified.problem, &None);
            prop_assert_eq!(Some(&verified.head), heads.last());
            let kept = place.files().len();
            if let Some(max) = keep_files {
                prop_assert!(kept <= max as usize + 1);
            }
            if let Some(days) = keep_days {
                let oldest = &place.records()[0].time;
                let limit = (place.hand.clock())() - DAY * (2 * days + 40);
                prop_assert!(*oldest >= keyward_audit::rfc3339(limit), "{}", oldest);
            }
            let first = verified.first.unwrap().0;
            prop_assert_eq!(verified.removed.map_or(1, |removed| removed.seq + 1), first);
        }
        // The head of a removed record can be checked only if that record was the last one removed.
        let first = verify(place.file(), None).unwrap().first.unwrap().0;
        for head in &heads {
            let noted = verify(place.file(), Some(head)).unwrap().noted;
            if head.seq + 1 >= first {
                prop_assert_eq!(noted, AnchorCheck::Found);
            } else {
                prop_assert_eq!(noted, AnchorCheck::TooOld);
            }
        }
    }
}

#[test]
fn records_are_kept_for_400_days_by_default() {
    let place = Place::new();
    let mut today = 0;
    let mut on = |day: u32, request: u32| {
        place.hand.forward(DAY * (day - today));
        today = day;
        place.write([entry(request)]);
        place.is_whole();
        let records = place.records().into_iter().filter_map(|record| record.request);
        records.map(|request| request.parse().unwrap()).collect::<Vec<u32>>()
    };
    assert_eq!(on(0, 1), [1]);
    assert_eq!(on(399, 2), [1, 2]);
    assert_eq!(on(401, 3), [1, 2, 3], "the file has a record of less than 400 days");
    assert_eq!(on(798, 4), [1, 2, 3, 4]);
    assert_eq!(on(800, 5), [3, 4, 5], "before twice that time");
}

#[test]
fn an_unconfirmed_first_line_is_detected() {
    let place = || {
        let mut place = Place::new();
        (place.settings.rotate_bytes, place.settings.keep_files) = (1_200, Some(2));
        place.write((1..=40).map(entry));
        place
    };
    let found = |place: &Place| {
        let problem = verify(place.file(), None).unwrap().problem.unwrap();
        (problem.wrong, problem.line, problem.seq)
    };
    let one = place();
    let first = verify(one.file(), None).unwrap().first.unwrap().0;
    assert!(first > 10);
    let oldest = one.files().remove(0);
    let text = fs::read_to_string(&oldest).unwrap();

    // The first line of all remaining files.
    fs::write(&oldest, text.split_once('\n').unwrap().1).unwrap();
    assert_eq!(found(&one), (Defect::Removed, 1, first));
    fs::write(&oldest, text.replacen("here", "herd", 1)).unwrap();
    assert_eq!(found(&one), (Defect::Changed, 1, first));
    fs::write(&oldest, text.replacen(&format!("\"seq\":{first}"), "\"seq\":9999", 1)).unwrap();
    assert_eq!(found(&one), (Defect::Changed, 1, first));
    fs::write(&oldest, &text).unwrap();
    assert_eq!(verify(one.file(), None).unwrap().problem, None);
    fs::write(&oldest, format!("rubbish\n{text}")).unwrap();
    assert_eq!(found(&one), (Defect::Unreadable, 1, first));
    fs::write(&oldest, &text).unwrap();
    // The first file.
    fs::remove_file(&oldest).unwrap();
    assert_eq!(found(&one), (Defect::Removed, 1, first));
}

/// The removal of a file was recorded, but the process exited before removing it.
#[test]
fn an_interrupted_removal_is_completed() {
    let mut place = Place::new();
    (place.settings.rotate_bytes, place.settings.keep_files) = (1, None);
    place.write((1..=3).map(entry));
    let copies: Vec<_> = place.files().iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    (place.settings.rotate_bytes, place.settings.keep_files) = (u64::MAX, Some(0));
    place.write([entry(4)]);
    assert_eq!(place.files().len(), 1);
    for (file, text) in copies.iter().take(2).rev() {
        fs::write(file, text).unwrap();
        place.is_whole();
    }
    place.write([entry(5)]);
    place.is_whole();
    assert_eq!(place.files().len(), 1);
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let mut place = Place::new();
    place.settings.rotate_bytes = 1;
    place.write([entry(1)]);
    let in_the_way = place.folder.path().join("audit.jsonl.000000000001");
    fs::write(&in_the_way, "mine").unwrap();
    let error = place.open_again().unwrap_err().to_string();
    assert!(error.contains(&format!("{} already exists", in_the_way.display())), "{error}");
    assert_eq!(fs::read_to_string(&in_the_way).unwrap(), "mine");
}

impl Place {
    fn open_again(&self) -> Result<keyward_audit::Audit, keyward_audit::AuditError> {
        keyward_audit::Audit::open(self.settings.clone(), self.hand.clock())
    }
}
