//! Half blocks: a character is two pixels, one above the other.

use seedbed_udfs::images::picture::Picture;

/// What shows a picture of three channels from the beginning of a line.
pub fn drawn(picture: &Picture) -> Vec<u8> {
    let mut out = String::new();
    let rows: Vec<&[[u8; 3]]> = picture
        .pixels()
        .as_chunks::<3>()
        .0
        .chunks(picture.width())
        .collect();
    for two in rows.chunks(2) {
        let (mut upper, mut lower) = (None, None);
        for (i, above) in two[0].iter().enumerate() {
            // a colour holds until another is set
            if upper != Some(*above) {
                out.push_str(&color(38, *above));
                upper = Some(*above);
            }
            let below = two.get(1).map(|row| row[i]);
            if let Some(below) = below.filter(|below| lower != Some(*below)) {
                out.push_str(&color(48, below));
                lower = Some(below);
            }
            out.push('▀');
        }
        out.push_str("\x1b[0m\n");
    }
    out.into_bytes()
}

fn color(of: u8, [r, g, b]: [u8; 3]) -> String {
    format!("\x1b[{of};2;{r};{g};{b}m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pixels_a_character() {
        let pixels = vec![1, 2, 3, 1, 2, 3, 4, 5, 6, 255, 0, 0, 9, 9, 9, 8, 8, 8];
        let shown = String::from_utf8(drawn(&Picture::new(2, 3, pixels))).unwrap();
        let expected = "\x1b[38;2;1;2;3m\x1b[48;2;4;5;6m▀\x1b[48;2;255;0;0m▀\x1b[0m\n\
                        \x1b[38;2;9;9;9m▀\x1b[38;2;8;8;8m▀\x1b[0m\n";
        assert_eq!(shown, expected);
    }
}
