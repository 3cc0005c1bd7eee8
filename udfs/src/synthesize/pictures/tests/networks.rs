//! Derivatives of the networks of pictures against finite differences.

use super::super::autoencoder::{Autoencoder, Settings};
use super::super::diff_augment::DiffAugment;
use super::super::discriminator::{Discriminator, Judgement};
use super::super::generator::{Generator, GeneratorShape, Tape, halvings};
use super::super::judge::{Looks, Sample};
use super::super::pixels::{Pictures, Shares, of_byte, to_byte};
use crate::synthesize::layers::tests::{check, check_parameters, numbers, weight};
use crate::synthesize::layers::{Frame, Network, Statistics};
use crate::synthesize::training::Judge;

fn frame(height: usize, width: usize, channels: usize) -> Frame {
    Frame {
        height,
        width,
        channels,
    }
}

fn weighted(cells: &[f32]) -> f32 {
    let cells = cells.iter().enumerate();
    cells.map(|(i, cell)| weight(i) * cell).sum()
}

fn weights(count: usize) -> Vec<f32> {
    (0..count).map(weight).collect()
}

#[test]
fn sides_are_halved_to_a_few_pixels() {
    let of = |height, width| halvings(frame(height, width, 1));
    assert_eq!([of(4, 4), of(8, 8), of(28, 28), of(32, 48)], [1, 1, 2, 2]);
    assert_eq!([of(64, 64), of(128, 64), of(5, 200)], [3, 3, 1]);
}

#[test]
fn generators_have_their_gradients() {
    // Classes and none, sides that doublings give and that they do not.
    for (frame, classes) in [(frame(5, 7, 2), 3), (frame(4, 6, 1), 0)] {
        let shape = GeneratorShape {
            frame,
            inputs: 3,
            classes,
            width: 2,
        };
        let mut generator = Generator::new("generator", shape, 1);
        let count = 4;
        let mut x = numbers(count * 3, 2);
        let run = |generator: &Generator, x: &[f32], tape: &mut Tape| {
            tape.input.reshape(count, 3);
            tape.input.cells_mut().copy_from_slice(x);
            tape.classes = (0..count as u32)
                .filter(|_| classes > 0)
                .map(|i| i % 3)
                .collect();
            generator.forward(tape, Statistics::Batch);
            weighted(tape.output.cells())
        };
        let mut tape = Tape::default();
        run(&generator, &x, &mut tape);
        assert_eq!(tape.output.cells().len(), count * frame.cells());
        generator.backward(&mut tape, &weights(count * frame.cells()), true);
        let by_input = tape.by_input.cells().to_vec();
        let mut other = Tape::default();
        check_parameters(&mut generator, |generator| run(generator, &x, &mut other));
        check("input", &by_input, |i, step| {
            x[i] += step;
            let loss = run(&generator, &x, &mut other);
            x[i] -= step;
            loss
        });
    }
}

#[test]
fn what_is_frozen_stays_and_classes_go_on() {
    let shape = GeneratorShape {
        frame: frame(8, 8, 1),
        inputs: 3,
        classes: 2,
        width: 2,
    };
    let mut generator = Generator::new("generator", shape, 1);
    let mut tape = Tape::default();
    let mut pass = |generator: &mut Generator| {
        tape.input.reshape(6, 3);
        tape.input.cells_mut().copy_from_slice(&numbers(18, 5));
        tape.classes = vec![0, 1, 0, 1, 0, 1];
        generator.forward(&mut tape, Statistics::Batch);
        generator.calibrate(&tape, 0.5);
        generator.backward(&mut tape, &weights(6 * 64), false);
    };
    pass(&mut generator);
    generator.freeze();
    let values = |generator: &Generator| -> Vec<(String, Vec<f32>)> {
        let parameters = generator.parameters().into_iter();
        parameters
            .map(|p| (p.name.clone(), p.values.clone()))
            .collect()
    };
    let before = values(&generator);
    pass(&mut generator);
    crate::synthesize::optim::Adam::new(Default::default()).step(&mut generator);
    let moved: Vec<String> = (before.iter().zip(values(&generator)))
        .filter(|(before, after)| before.1 != after.1)
        .map(|(_, after)| after.0)
        .collect();
    let open = ["start.condition", "output.weight", "output.bias"];
    assert_eq!(moved, open.map(|name| format!("generator.{name}")));
}

/// Pictures of the loss, and of the penalty.
const JUDGED: usize = 3;
const PENALISED: usize = 2;

#[test]
fn the_discriminator_and_its_penalty_have_their_gradients() {
    for classes in [3, 0] {
        let frame = frame(5, 6, 2);
        let mut discriminator = Discriminator::new(frame, classes, 3, 1);
        let mut stirred = numbers(discriminator.count(), 7).into_iter();
        for parameter in discriminator.parameters_mut() {
            for (value, noise) in parameter.values.iter_mut().zip(&mut stirred) {
                *value += 0.3 * noise;
            }
        }
        let mut pictures = numbers((JUDGED + PENALISED) * frame.cells(), 2);
        let judge = |discriminator: &Discriminator, pictures: &[f32], judgement: &mut Judgement| {
            judgement
                .input(JUDGED + PENALISED, frame)
                .copy_from_slice(pictures);
            judgement.classes = [0, 2, 1, 2, 0]
                .into_iter()
                .filter(|_| classes > 0)
                .collect();
            discriminator.forward(judgement);
            let mut answers = weights(JUDGED + PENALISED);
            answers[JUDGED..].fill(1.0);
            let pairs = judgement.answers().iter().zip(&answers[..JUDGED]);
            let loss: f32 = pairs.map(|(answer, weight)| answer * weight).sum();
            discriminator.backward(judgement, &answers);
            loss
        };
        let mut judgement = Judgement::default();
        judge(&discriminator, &pictures, &mut judgement);
        discriminator.pictures_gradient(&mut judgement, 0);
        let by_pictures = judgement.gradient()[..JUDGED * frame.cells()].to_vec();
        let mut other = Judgement::default();
        check("picture", &by_pictures, |i, step| {
            pictures[i] += step;
            let loss = judge(&discriminator, &pictures, &mut other);
            pictures[i] -= step;
            loss
        });
        let mut loss = |discriminator: &Discriminator| {
            let loss = judge(discriminator, &pictures, &mut other);
            loss + discriminator.penalise(&mut other, JUDGED, 0.7)
        };
        judge(&discriminator, &pictures, &mut judgement);
        assert!(discriminator.penalise(&mut judgement, JUDGED, 0.7) > 1e-3);
        discriminator.gradients(&judgement, JUDGED);
        check_parameters(&mut discriminator, |discriminator| loss(discriminator));
    }
}

#[test]
fn changes_are_linear_and_repeat() {
    let frame = frame(6, 5, 3);
    let augment = DiffAugment {
        shift: 0.3,
        cutout: 0.4,
        brightness: 0.2,
    };
    let count = 4;
    let x = numbers(count * frame.cells(), 1);
    let apply = |key, x: &[f32]| {
        let mut out = vec![0.0; x.len()];
        augment.forward(frame, key, x, &mut out);
        out
    };
    assert_eq!(apply(1, &x), apply(1, &x));
    assert_ne!(apply(1, &x), apply(2, &x));
    let mut gradient = vec![0.0; x.len()];
    augment.backward(frame, 1, &weights(x.len()), &mut gradient);
    check("picture", &gradient, |i, step| {
        let mut moved = x.clone();
        moved[i] += step;
        weighted(&apply(1, &moved))
    });
    // Nothing is changed where nothing is asked for.
    let none = DiffAugment {
        shift: 0.0,
        cutout: 0.0,
        brightness: 0.0,
    };
    let mut same = vec![1.0; x.len()];
    none.forward(frame, 1, &x, &mut same);
    assert_eq!(same, x);
}

#[test]
fn shifts_are_filled_with_the_border() {
    let augment = DiffAugment {
        shift: 0.5,
        cutout: 0.0,
        brightness: 0.5,
    };
    let frame = frame(4, 4, 1);
    let picture = [1.0; 16];
    for key in 0..20 {
        let mut out = [0.0; 16];
        augment.forward(frame, key, &picture, &mut out);
        assert_eq!(out, picture);
    }
}

/// Some grey pictures of two classes: bright at the top, or at the left.
fn pictures(count: usize) -> Pictures {
    let frame = frame(6, 5, 1);
    let classes: Vec<u32> = (0..count as u32).map(|i| i % 2).collect();
    let byte = |i: usize, cell: usize| match (i % 2, cell / 5, cell % 5) {
        (0, y, _) if y < 2 + i % 3 => 250 - (i % 7) as u8,
        (1, _, x) if x < 2 + i % 3 => 240 - (i % 5) as u8,
        _ => (i * 31 % 17) as u8,
    };
    let cells = (0..count).flat_map(|i| (0..30).map(move |cell| byte(i, cell)));
    Pictures {
        frame,
        pixels: cells.collect(),
        classes,
    }
}

#[test]
fn the_autoencoder_has_its_gradients() {
    let pictures = pictures(5);
    let settings = Settings {
        decoder: GeneratorShape {
            frame: pictures.frame,
            inputs: 3,
            classes: 2,
            width: 2,
        },
        encoder: 2,
        adam: Default::default(),
        factor: 0.3,
        seed: 1,
    };
    let mut coder = Autoencoder::new(settings, &pictures);
    let rows = [0, 1, 2, 3, 4];
    coder.losses(&rows, 9);
    let mut held = coder.networks.clone();
    check_parameters(&mut held, |networks| {
        coder.networks = networks.clone();
        coder.losses(&rows, 9).iter().sum()
    });
}

#[test]
fn bytes_go_through_pixels_and_back() {
    for byte in 0..=255 {
        assert_eq!(to_byte(of_byte(byte)), byte);
    }
    assert_eq!(
        [to_byte(-7.0), to_byte(7.0), to_byte(f32::NAN)],
        [0, 255, 0]
    );
}

#[test]
fn classes_are_drawn_by_their_shares() {
    let shares = Shares::new([1, 0, 3]);
    let mut counts = [0; 3];
    for key in 0..4000 {
        counts[shares.draw(crate::synthesize::rng::mix(key)).unwrap() as usize] += 1;
    }
    assert_eq!(counts[1], 0);
    assert!((900..1100).contains(&counts[0]), "{counts:?}");
    assert_eq!(Shares::new([]).draw(1), None);
    assert_eq!(Shares::new([0, 0]).draw(1), None);
}

#[test]
fn the_looks_of_the_pictures_themselves_are_right_and_of_one_picture_are_not() {
    let pictures = pictures(60);
    let looks = Looks::new(&pictures, &["a".to_string(), "b".to_string()]);
    let mut real = vec![0.0; pictures.pixels.len()];
    let rows: Vec<u32> = (0..60).collect();
    pictures.write(&rows, &mut real);
    let same = Sample {
        pictures: real.clone(),
        classes: pictures.classes.clone(),
    };
    assert!(looks.difference(&same) < 1e-6 && looks.collapsed(&same).is_none());
    let swapped = Sample {
        classes: pictures.classes.iter().map(|class| 1 - class).collect(),
        ..same.clone()
    };
    assert!(looks.difference(&swapped) > 0.1);
    // Of the second class the second picture over and over.
    let mut one = same;
    for i in (1..60).step_by(2) {
        one.pictures.copy_within(30..60, i * 30);
    }
    let what = looks.collapsed(&one).unwrap();
    assert!(
        what.contains("pictures of class b came out all the same"),
        "{what}"
    );
}
