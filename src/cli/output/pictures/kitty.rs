//! The graphics protocol of kitty: a PNG file in pieces.

use super::base64;

/// The most bytes of a piece.
const PIECE: usize = 4096;

/// What shows a PNG file at the cursor. The terminal is told to answer nothing.
pub fn drawn(png: &[u8]) -> Vec<u8> {
    let text = base64::encoded(png);
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut pieces = text.chunks(PIECE).peekable();
    let mut about = "a=T,f=100,q=2,";
    while let Some(piece) = pieces.next() {
        let more = u8::from(pieces.peek().is_some());
        out.extend_from_slice(format!("\x1b_G{about}m={more};").as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\x1b\\");
        about = "";
    }
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::drawn;

    #[test]
    fn one_piece() {
        assert_eq!(
            drawn(b"foobar"),
            b"\x1b_Ga=T,f=100,q=2,m=0;Zm9vYmFy\x1b\\\n"
        );
    }

    #[test]
    fn several_pieces() {
        let shown = String::from_utf8(drawn(&[0; 6144 + 3])).unwrap();
        let expected = format!(
            "\x1b_Ga=T,f=100,q=2,m=1;{0}\x1b\\\x1b_Gm=1;{0}\x1b\\\x1b_Gm=0;AAAA\x1b\\\n",
            "A".repeat(4096)
        );
        assert_eq!(shown, expected);
    }
}
