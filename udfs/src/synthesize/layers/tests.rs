//! Every derivative against finite differences.

use super::*;
use crate::synthesize::rng;

/// Central differences against a gradient: `f` gives the loss where one number is moved by a step. Where a
/// rectifier turns within the step the difference is none: it is enough that one of several steps agrees.
pub(crate) fn check(what: &str, gradient: &[f32], mut f: impl FnMut(usize, f32) -> f32) {
    for (i, &expected) in gradient.iter().enumerate() {
        let mut seen = Vec::new();
        let agrees = [1e-2, 2e-3, 5e-4].into_iter().any(|step| {
            let difference = (f(i, step) - f(i, -step)) / (2.0 * step);
            seen.push(difference);
            (difference - expected).abs() < 4e-3 + 1e-2 * expected.abs()
        });
        assert!(agrees, "{what} {i}: {seen:?} is not {expected}");
    }
}

/// Checks the gradients that all parameters of a network hold.
pub(crate) fn check_parameters<N: Network>(network: &mut N, mut f: impl FnMut(&mut N) -> f32) {
    let held: Vec<(String, bool, Vec<f32>)> = network
        .parameters()
        .iter()
        .map(|p| (p.name.clone(), p.learns, p.gradient.clone()))
        .collect();
    for (index, (name, learns, gradient)) in held.into_iter().enumerate() {
        assert!(!learns || !gradient.is_empty(), "{name} has no gradient");
        if !learns {
            continue;
        }
        check(&name, &gradient, |i, step| {
            let begin = network.parameters()[index].values[i];
            network.parameters_mut()[index].values[i] = begin + step;
            let loss = f(network);
            network.parameters_mut()[index].values[i] = begin;
            loss
        });
    }
}

/// Weights so that no symmetry hides a wrong gradient.
pub(crate) fn weight(i: usize) -> f32 {
    ((i * 37 % 11) as f32 - 4.0) * 0.3
}

pub(crate) fn numbers(count: usize, key: u64) -> Vec<f32> {
    let mut stream = rng::stream(key, "numbers", 0);
    (0..count).map(|_| rng::normal(&mut stream)).collect()
}

fn weighted(output: &Matrix) -> f32 {
    let cells = output.cells().iter().enumerate();
    cells.map(|(i, cell)| weight(i) * cell).sum()
}

#[test]
fn perceptrons_have_their_gradients() {
    let rows = 7;
    for (norm, residual, conditions) in [
        (true, true, 3),
        (true, false, 0),
        (false, false, 0),
        (false, true, 2),
    ] {
        let shape = MlpShape {
            name: "network",
            inputs: (4, Axis::Units),
            hidden: &[5, 6],
            outputs: (3, Axis::Cells),
            conditions,
            norm,
            residual,
        };
        let mut network = Mlp::new(&shape, 3);
        let mut inputs = numbers(rows * 4, 1);
        let cells: Vec<u32> = match conditions {
            0 => Vec::new(),
            n => (0..rows as u32).map(|row| row * 5 % n as u32).collect(),
        };
        let forward = |network: &Mlp, inputs: &[f32], tape: &mut Tape| {
            let (x, stride) = tape.input(network, rows);
            for (x, inputs) in x.chunks_exact_mut(stride).zip(inputs.chunks_exact(4)) {
                x[..4].copy_from_slice(inputs);
            }
            network.forward(tape, &cells, Statistics::Batch);
            weighted(&tape.output)
        };
        let mut tape = Tape::default();
        forward(&network, &inputs, &mut tape);
        let mut gradient = Matrix::default();
        gradient.reshape(rows, 3);
        for (i, cell) in gradient.cells_mut().iter_mut().enumerate() {
            *cell = weight(i);
        }
        network.backward(&mut tape, &cells, &gradient, true);
        let by_inputs: Vec<f32> = tape.input_gradients().flatten().copied().collect();
        let mut other = Tape::default();
        check_parameters(&mut network, |network| {
            forward(network, &inputs, &mut other)
        });
        check("input", &by_inputs, |i, step| {
            inputs[i] += step;
            let loss = forward(&network, &inputs, &mut other);
            inputs[i] -= step;
            loss
        });
    }
}

#[test]
fn frozen_layers_normalise_by_constants() {
    let shape = MlpShape {
        name: "network",
        inputs: (3, Axis::Units),
        hidden: &[4],
        outputs: (2, Axis::Cells),
        conditions: 0,
        norm: true,
        residual: false,
    };
    let mut network = Mlp::new(&shape, 3);
    let mut tape = Tape::default();
    tape.noise(&network, 50, 3, 9);
    network.forward(&mut tape, &[], Statistics::Batch);
    network.calibrate(&tape, 1.0);
    network.freeze_hidden();
    network.forward(&mut tape, &[], Statistics::Batch);
    let frozen = tape.output.cells().to_vec();
    network.forward(&mut tape, &[], Statistics::Running);
    assert_eq!(frozen, tape.output.cells());
    // Weight, bias, scale, shift, mean and variance.
    let hidden = |network: &Mlp| -> Vec<Vec<f32>> {
        let parameters = network.parameters();
        parameters[..6].iter().map(|p| p.values.clone()).collect()
    };
    let before = hidden(&network);
    network.calibrate(&tape, 1.0);
    assert_eq!(before, hidden(&network));
    // Folded into the weights the normalisation is the same.
    let folded = network.folded();
    folded.forward(&mut tape, &[], Statistics::Running);
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
    assert!(frozen.iter().zip(tape.output.cells()).all(near));
    let gradient = tape.output.clone();
    network.backward(&mut tape, &[], &gradient, true);
    let mut adam = crate::synthesize::optim::Adam::new(Default::default());
    adam.step(&mut network);
    assert_eq!(before, hidden(&network));
}

/// Two groups each of real rows, of drawn ones and of those between them.
const GROUPS: usize = 6;
const PAC: usize = 2;
const CELLS: usize = 3;

fn judge(discriminator: &Discriminator, rows: &[f32], judgement: &mut Judgement) -> f32 {
    let input = judgement.input(GROUPS, PAC * CELLS);
    input.copy_from_slice(rows);
    discriminator.forward(judgement, &[0, 1, 1, NO_CONDITION], 2, 5);
    let mut answers: Vec<f32> = (0..GROUPS).map(weight).collect();
    answers[4..].fill(1.0);
    let loss: f32 = judgement
        .answers()
        .iter()
        .zip(&answers[..4])
        .map(|(answer, weight)| answer * weight)
        .sum();
    discriminator.backward(judgement, &answers);
    loss
}

#[test]
fn the_discriminator_and_the_gradient_penalty_have_their_gradients() {
    let mut rows = numbers(GROUPS * PAC * CELLS, 2);
    let mut discriminator = Discriminator::new(CELLS, 2, &[8, 7], PAC, 0.3, 1);
    // Weights large enough that the gradients' lengths are near 1.
    for parameter in discriminator.parameters_mut() {
        for value in &mut parameter.values {
            *value *= 2.0;
        }
    }
    let mut judgement = Judgement::default();
    judge(&discriminator, &rows, &mut judgement);
    discriminator.rows_gradient(&mut judgement, 0);
    // Of the first groups alone: the others' answers are not in the loss.
    let by_rows = judgement.gradient()[..4 * PAC * CELLS].to_vec();
    let mut other = Judgement::default();
    check("row", &by_rows, |i, step| {
        rows[i] += step;
        let loss = judge(&discriminator, &rows, &mut other);
        rows[i] -= step;
        loss
    });
    let mut loss = |discriminator: &Discriminator| {
        let loss = judge(discriminator, &rows, &mut other);
        loss + discriminator.penalise(&mut other, 4, 3.0)
    };
    judge(&discriminator, &rows, &mut judgement);
    let penalty = discriminator.penalise(&mut judgement, 4, 3.0);
    assert!(penalty > 1e-3);
    discriminator.gradients(&judgement, 4);
    check_parameters(&mut discriminator, |discriminator| loss(discriminator));
}

#[test]
fn dropout_keeps_the_mean_and_repeats() {
    let discriminator = |dropout| Discriminator::new(3, 0, &[64], 1, dropout, 1);
    let rows = numbers(3000, 4);
    let answers = |discriminator: &Discriminator, key| {
        let mut judgement = Judgement::default();
        judgement.input(1000, 3).copy_from_slice(&rows);
        discriminator.forward(&mut judgement, &[], 0, key);
        judgement.answers().to_vec()
    };
    let mean = |answers: &[f32]| answers.iter().sum::<f32>() / 1000.0;
    let (all, half) = (discriminator(0.0), discriminator(0.5));
    let dropped = answers(&half, 1);
    assert!((mean(&answers(&all, 1)) - mean(&dropped)).abs() < 0.05);
    assert_eq!(dropped, answers(&half, 1));
    assert_ne!(dropped, answers(&half, 2));
}
