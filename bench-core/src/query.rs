//! Values in the query of a request.

/// The value of a parameter as a number in a range.
///
/// # Errors
/// When it is no number, or out of range, with both.
pub(crate) fn number(name: &str, value: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{name}={value}: a whole number from {least} to {most} is needed"))
}
