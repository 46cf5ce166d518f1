//! Medians and quantiles.

use std::time::{Duration, Instant};

/// Returns the median.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&mut values.into_iter().collect::<Vec<_>>(), 0.5)
}

/// Returns the value that the given share of all values do not exceed.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into `values`")]
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Returns the nanoseconds that one call takes, averaged over `calls` calls.
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

/// Formats the median, the minimum and the maximum.
pub(crate) fn spread(values: &[f64]) -> String {
    let (min, max) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(*value), max.max(*value)));
    format!("{:.2} ({min:.2}–{max:.2})", median(values.iter().copied()))
}

/// Prints whether the median of some figures is at most `bound`.
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
