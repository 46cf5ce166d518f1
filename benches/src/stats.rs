//! Medians and quantiles.

use std::time::{Duration, Instant};

/// The middle of the values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&mut values.into_iter().collect::<Vec<_>>(), 0.5)
}

/// The value that a share of all values do not exceed.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into `values`")]
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds that one call takes, over `calls` calls.
pub(crate) fn nanos(calls: u32, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    per_call(start.elapsed(), calls)
}

pub(crate) fn per_call(total: Duration, calls: u32) -> f64 {
    total.as_secs_f64() * 1e9 / f64::from(calls)
}

/// The middle, the least and the most.
pub(crate) fn spread(values: &[f64]) -> String {
    let (least, most) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(*value), most.max(*value)));
    format!("{:.2} ({least:.2}–{most:.2})", median(values.iter().copied()))
}

/// Says whether the middle of some figures is within its bound.
pub(crate) fn at_most(what: &str, figures: &[f64], bound: f64) {
    judge(what, figures, &format!("at most {bound}"), |middle| middle <= bound);
}

pub(crate) fn at_least(what: &str, figures: &[f64], bound: f64) {
    judge(what, figures, &format!("at least {bound}"), |middle| middle >= bound);
}

fn judge(what: &str, figures: &[f64], bound: &str, fits: impl Fn(f64) -> bool) {
    let judgement = if fits(median(figures.iter().copied())) { "met" } else { "NOT MET" };
    println!("* {what}: **{}**; {bound}: {judgement}", spread(figures));
}
