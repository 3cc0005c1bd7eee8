//! Boosted trees in a model's file.

use datafusion_common::{Result, exec_err};

use super::{Binning, Bins, Boosted, Node, Objective};
use crate::synthesize::ModelFile;

/// Numbers of a node in the file: the feature, or -1 of a leaf; the left child, or a leaf's value.
const NODE: usize = 2;
/// Bytes of a node's set of bins.
const SET: usize = 32;

impl Boosted {
    /// Writes the trees into a model's file.
    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        for (i, binning) in self.binnings.iter().enumerate() {
            match binning {
                Binning::Cuts(cuts) => file.set_numbers(format!("trees.cuts.{i}"), cuts)?,
                Binning::Places(places) => file.set_blob(format!("trees.places.{i}"), places)?,
            }
        }
        let (mut sizes, mut nodes, mut sets) = (Vec::new(), Vec::new(), Vec::new());
        for tree in &self.trees {
            sizes.push(tree.len() as f64);
            for node in tree {
                let (numbers, bins) = match node {
                    Node::Leaf(value) => ([-1.0, *value], Bins::default()),
                    Node::Split {
                        feature,
                        bins,
                        left,
                    } => ([f64::from(*feature), f64::from(*left)], *bins),
                };
                nodes.extend(numbers);
                sets.extend(bins.0.iter().flat_map(|word| word.to_le_bytes()));
            }
        }
        file.set_numbers("trees.base", &self.base)?;
        file.set_numbers("trees.sizes", &sizes)?;
        file.set_numbers("trees.nodes", &nodes)?;
        file.set_blob("trees.sets", &sets)
    }

    /// Reads back what [`Self::save`] wrote: trees of so many columns.
    pub fn load(objective: Objective, columns: usize, file: &ModelFile) -> Result<Self> {
        let binnings = (0..columns)
            .map(|i| match file.blob(&format!("trees.places.{i}")) {
                Ok(places) => Ok(Binning::Places(places)),
                Err(_) => Ok(Binning::Cuts(file.numbers(&format!("trees.cuts.{i}"))?)),
            })
            .collect::<Result<Vec<_>>>()?;
        let base = file.numbers("trees.base")?;
        let nodes = file.numbers("trees.nodes")?;
        let sets = file.blob("trees.sets")?;
        let mut nodes = nodes.chunks_exact(NODE).zip(sets.chunks_exact(SET));
        let sizes = file.numbers("trees.sizes")?;
        let trees = sizes
            .iter()
            .map(|size| {
                let tree = nodes.by_ref().take(*size as usize);
                let tree: Vec<Node> = tree.map(|(numbers, set)| node(numbers, set)).collect();
                match is_tree(&tree, columns) {
                    true => Ok(tree),
                    false => exec_err!("the model file is damaged: trees.nodes"),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let width = objective.width();
        let fits = binnings
            .iter()
            .all(|b| !matches!(b, Binning::Cuts(cuts) if cuts.len() > 254));
        if base.len() != width || trees.len() % width != 0 || !fits {
            return exec_err!("the model file is damaged: trees.base");
        }
        Ok(Self {
            objective,
            binnings,
            base,
            trees,
        })
    }

    /// How many trees there are.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }
}

fn node(numbers: &[f64], set: &[u8]) -> Node {
    if numbers[0] < 0.0 {
        return Node::Leaf(numbers[1]);
    }
    let mut bins = Bins::default();
    for (word, bytes) in bins.0.iter_mut().zip(set.chunks_exact(8)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    Node::Split {
        feature: numbers[0] as u32,
        bins,
        left: numbers[1] as u32,
    }
}

/// Whether every way through the nodes ends in a leaf.
fn is_tree(nodes: &[Node], columns: usize) -> bool {
    !nodes.is_empty()
        && nodes.iter().enumerate().all(|(at, node)| match node {
            Node::Leaf(value) => value.is_finite(),
            Node::Split { feature, left, .. } => {
                let left = *left as usize;
                (*feature as usize) < columns && left > at && left + 1 < nodes.len()
            }
        })
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Settings, pool};
    use super::*;

    #[test]
    fn what_is_saved_tells_the_same() {
        let n = 500;
        let columns = [
            Column::Numbers((0..n).map(|i| f64::from(i * 37 % 101)).collect()),
            Column::Categories((0..n as u32).map(|i| i % 7).collect()),
        ];
        let (pool, settings) = (pool(1).unwrap(), Settings::default());
        for (objective, classes) in [(Objective::Logistic, 2), (Objective::Softmax(3), 3)] {
            let target: Vec<f64> = (0..n)
                .map(|i| f64::from((i * 37 % 101 / 9 + i % 7 / 3) % classes))
                .collect();
            let fitted =
                Boosted::fit(&columns, &target, objective, &settings, &pool, &|| Ok(())).unwrap();
            let mut file = ModelFile::default();
            fitted.save(&mut file).unwrap();
            let read = Boosted::load(objective, 2, &file).unwrap();
            assert_eq!(read.told(&columns), fitted.told(&columns));
            assert_eq!(read.trees(), fitted.trees());
            assert!(Boosted::load(objective, 1, &file).is_err());
            let nodes = file.numbers("trees.nodes").unwrap();
            file.set_numbers("trees.nodes", &nodes[..nodes.len() - NODE])
                .unwrap();
            assert!(Boosted::load(objective, 2, &file).is_err());
        }
    }
}
