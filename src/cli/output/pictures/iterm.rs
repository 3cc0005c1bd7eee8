//! The inline images of iTerm2: a file in one sequence.

use super::base64;

/// What shows a PNG file at the cursor.
pub fn drawn(png: &[u8]) -> Vec<u8> {
    let mut out = format!("\x1b]1337;File=inline=1;size={}:", png.len()).into_bytes();
    out.extend(base64::encoded(png));
    out.extend_from_slice(b"\x07\n");
    out
}

#[cfg(test)]
mod tests {
    use super::drawn;

    #[test]
    fn one_sequence() {
        assert_eq!(
            drawn(b"foobar"),
            b"\x1b]1337;File=inline=1;size=6:Zm9vYmFy\x07\n"
        );
    }
}
