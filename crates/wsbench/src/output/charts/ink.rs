//! One colour and one dash for each row, the same in every chart of every report.
//!
//! A hue is a runtime and a dash its variant, so that rows stay apart without their colours as well. The hues are those of
//! Okabe and Ito ("Color Universal Design", 2008), which colour-blind people tell apart, and neutral ones for rows without
//! a runtime.

/// How a row is drawn. Colours are unique within a report: they also find the row's parts in a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ink {
    /// Red, green and blue.
    pub(crate) rgb: (u8, u8, u8),
    /// Lengths of dashes and gaps, as SVG takes them; empty for a solid line.
    pub(crate) dash: &'static str,
}

const SOLID: &str = "";
const LONG: &str = "8 4";
const DOTS: &str = "2 3";
const MIXED: &str = "9 3 2 3";

const KNOWN: &[(&str, (u8, u8, u8), &str)] = &[
    ("tokio", (0x00, 0x72, 0xb2), SOLID),
    ("tokio-multi", (0x3d, 0x8f, 0xc4), LONG),
    ("tokio-native", (0x1f, 0x5f, 0x9a), DOTS),
    ("smol", (0xe6, 0x9f, 0x00), SOLID),
    ("smol-multi", (0xd0, 0x8c, 0x00), LONG),
    ("async-std", (0x00, 0x9e, 0x73), SOLID),
    ("async-std-multi", (0x2f, 0xb0, 0x8b), LONG),
    ("monoio", (0xd5, 0x5e, 0x00), SOLID),
    ("compio", (0xcc, 0x79, 0xa7), SOLID),
    ("glommio", (0x56, 0xb4, 0xe9), MIXED),
    ("mio", (0x7f, 0x7f, 0x7f), SOLID),
    ("threads", (0x8b, 0x6b, 0x4a), SOLID),
    ("python-trio", (0x87, 0x5f, 0xc9), SOLID),
    ("python-asyncio", (0xa0, 0x80, 0xd8), LONG),
    ("python-asyncio-uvloop", (0x74, 0x4f, 0xb3), DOTS),
];

/// Hues and dashes for rows that wsbench does not know, chosen by their names.
const OTHERS: &[(u8, u8, u8)] =
    &[(0x00, 0x72, 0xb2), (0xe6, 0x9f, 0x00), (0x00, 0x9e, 0x73), (0xd5, 0x5e, 0x00), (0xcc, 0x79, 0xa7)];
const DASHES: &[&str] = &[MIXED, DOTS, LONG];

/// The ink of a row by its name; another build of a row (`tokio@PATH`) has its hue.
pub(crate) fn ink(name: &str) -> Ink {
    if let Some((_, rgb, dash)) = KNOWN.iter().find(|(known, ..)| *known == name) {
        return Ink { rgb: *rgb, dash };
    }
    let hash = hash(name);
    let row = name.split('@').next().unwrap_or(name);
    let (red, green, blue) = match KNOWN.iter().find(|(known, ..)| *known == row) {
        Some((_, rgb, _)) => *rgb,
        None => OTHERS[hash as usize % OTHERS.len()],
    };
    // A few steps of one channel nobody sees, and they keep the colour unique.
    let shade = |channel: u8, bits: u32| channel.wrapping_add((bits % 13) as u8).max(channel);
    let rgb = (shade(red, hash >> 4), shade(green, hash >> 9), shade(blue, hash >> 14));
    Ink { rgb, dash: DASHES[(hash >> 20) as usize % DASHES.len()] }
}

/// FNV-1a: the same on every machine, so that a colour stays a row's.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Ink {
    /// `#0072B2`, as plotters writes it.
    pub(crate) fn hex(self) -> String {
        let (red, green, blue) = self.rgb;
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn colours_are_unique_and_stay() {
        let names = KNOWN.iter().map(|(name, ..)| (*name).to_owned());
        let others = ["actix", "node", "bun", "tokio@/a", "tokio@/b", "smol@/a"].map(str::to_owned);
        let colours: Vec<String> = names.chain(others).map(|name| ink(&name).hex()).collect();
        assert_eq!(colours.iter().collect::<BTreeSet<_>>().len(), colours.len(), "{colours:?}");
        assert_eq!(ink("tokio").hex(), "#0072B2");
        assert_eq!(ink("node"), ink("node"));
    }
}
