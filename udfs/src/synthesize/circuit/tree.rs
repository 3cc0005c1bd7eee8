//! The Chow-Liu tree (1968): the spanning tree of the columns with the most mutual information.

use rayon::prelude::*;

/// Symbols of a column that mutual information is taken between; more are gathered in groups.
const MOST_GROUPS: usize = 32;
/// Pairs of cells looked at in all; tables of many columns are judged by fewer of their rows ...
const MOST_PAIRS: usize = 4_000_000_000;
/// ... but by so many, where there are that many.
const LEAST_ROWS: usize = 2_000;

/// A tree over columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The parent of each column; the root has none.
    pub parents: Vec<Option<usize>>,
    /// The columns, every one after its parent.
    pub order: Vec<usize>,
    pub children: Vec<Vec<usize>>,
}

impl Tree {
    /// The tree of given parents; nothing if they are none of a tree with one root.
    pub fn of_parents(parents: Vec<Option<usize>>) -> Option<Self> {
        let mut children = vec![Vec::new(); parents.len()];
        let mut roots = Vec::new();
        for (column, parent) in parents.iter().enumerate() {
            match parent {
                Some(parent) => children.get_mut(*parent)?.push(column),
                None => roots.push(column),
            }
        }
        let [root] = roots[..] else { return None };
        let mut order = vec![root];
        let mut at = 0;
        while let Some(&column) = order.get(at) {
            order.extend(&children[column]);
            at += 1;
        }
        (order.len() == parents.len()).then_some(Self {
            parents,
            order,
            children,
        })
    }

    /// The tree that columns of symbols call for; `ordered` says whose symbols have an order.
    pub fn fit(columns: &[Vec<u32>], sizes: &[usize], ordered: &[bool]) -> Self {
        let count = columns.len();
        let rows = columns.first().map_or(0, Vec::len);
        let pairs = (count * count.saturating_sub(1) / 2).max(1);
        let rows = rows.min((MOST_PAIRS / pairs).max(LEAST_ROWS));
        let grouped: Vec<(Vec<u8>, usize)> = columns
            .par_iter()
            .zip(sizes)
            .zip(ordered)
            .map(|((column, &size), &ordered)| groups(&column[..rows], size, ordered))
            .collect();
        let information: Vec<Vec<f64>> = (0..count)
            .into_par_iter()
            .map(|a| {
                let pair = |b| mutual_information(&grouped[a], &grouped[b]);
                (0..a).map(pair).collect()
            })
            .collect();
        let between = |a: usize, b: usize| information[a.max(b)][a.min(b)];
        let total =
            |a: usize| -> f64 { (0..count).filter(|&b| b != a).map(|b| between(a, b)).sum() };
        let totals: Vec<f64> = (0..count).map(total).collect();
        let root = (0..count)
            .reduce(|best, column| {
                if totals[column] > totals[best] {
                    column
                } else {
                    best
                }
            })
            .unwrap_or(0);
        // Prim's algorithm: the nearest column next, from the nearest one that is in the tree.
        let mut parents: Vec<Option<usize>> = vec![None; count];
        let mut nearest: Vec<(f64, usize)> = (0..count)
            .map(|column| match column == root {
                true => (f64::NEG_INFINITY, root),
                false => (between(root, column), root),
            })
            .collect();
        let mut outside: Vec<usize> = (0..count).filter(|&column| column != root).collect();
        while let Some(at) = (0..outside.len()).reduce(|best, at| {
            match nearest[outside[at]].0 > nearest[outside[best]].0 {
                true => at,
                false => best,
            }
        }) {
            let column = outside.remove(at);
            parents[column] = Some(nearest[column].1);
            for &other in &outside {
                let information = between(column, other);
                if information > nearest[other].0 {
                    nearest[other] = (information, column);
                }
            }
        }
        Self::of_parents(parents).unwrap_or(Self {
            parents: Vec::new(),
            order: Vec::new(),
            children: Vec::new(),
        })
    }
}

/// Symbols gathered in few groups: neighbours where they have an order, else all but the most frequent.
fn groups(symbols: &[u32], size: usize, ordered: bool) -> (Vec<u8>, usize) {
    let mut counts = vec![0usize; size];
    for &symbol in symbols {
        counts[symbol as usize] += 1;
    }
    let group: Vec<u8> = if size <= MOST_GROUPS {
        (0..size).map(|symbol| symbol as u8).collect()
    } else if ordered {
        let mut before = 0;
        counts
            .iter()
            .map(|&count| {
                let group = before * MOST_GROUPS / symbols.len().max(1);
                before += count;
                group.min(MOST_GROUPS - 1) as u8
            })
            .collect()
    } else {
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by_key(|&symbol| (std::cmp::Reverse(counts[symbol]), symbol));
        let mut group = vec![(MOST_GROUPS - 1) as u8; size];
        for (i, &symbol) in order.iter().take(MOST_GROUPS - 1).enumerate() {
            group[symbol] = i as u8;
        }
        group
    };
    let grouped = symbols
        .iter()
        .map(|&symbol| group[symbol as usize])
        .collect();
    (grouped, size.min(MOST_GROUPS))
}

/// In nats, less what independent columns of so many groups seem to have.
fn mutual_information(a: &(Vec<u8>, usize), b: &(Vec<u8>, usize)) -> f64 {
    let (rows, width) = (a.0.len() as f64, b.1);
    let mut joint = vec![0u32; a.1 * width];
    for (&a, &b) in a.0.iter().zip(&b.0) {
        joint[usize::from(a) * width + usize::from(b)] += 1;
    }
    let mut of_a = vec![0u32; a.1];
    let mut of_b = vec![0u32; width];
    for (i, &count) in joint.iter().enumerate() {
        of_a[i / width.max(1)] += count;
        of_b[i % width.max(1)] += count;
    }
    let mut sum = 0.0;
    for (i, &count) in joint.iter().enumerate() {
        if count > 0 {
            let expected = f64::from(of_a[i / width]) * f64::from(of_b[i % width]) / rows;
            sum += f64::from(count) * (f64::from(count) / expected).ln();
        }
    }
    let groups = |counts: &[u32]| counts.iter().filter(|&&count| count > 0).count() as f64;
    let freedom = (groups(&of_a) - 1.0) * (groups(&of_b) - 1.0);
    (sum - freedom / 2.0) / rows.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_found_again() {
        let mut columns = vec![Vec::new(); 4];
        let mut state = 1u64;
        let mut uniform = || {
            state = crate::synthesize::rng::mix(state);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        for _ in 0..4000 {
            let mut value = (uniform() * 4.0) as u32;
            for column in [2, 0, 3, 1] {
                if uniform() < 0.3 {
                    value = (uniform() * 4.0) as u32;
                }
                columns[column].push(value);
            }
        }
        let tree = Tree::fit(&columns, &[4; 4], &[false; 4]);
        let mut edges: Vec<(usize, usize)> = tree
            .parents
            .iter()
            .enumerate()
            .filter_map(|(child, parent)| parent.map(|p| (child.min(p), child.max(p))))
            .collect();
        edges.sort_unstable();
        assert_eq!(edges, [(0, 2), (0, 3), (1, 3)]);
    }

    #[test]
    fn parents_of_no_tree_are_refused() {
        assert!(Tree::of_parents(vec![None, None]).is_none());
        assert!(Tree::of_parents(vec![Some(1), Some(0)]).is_none());
        assert!(Tree::of_parents(vec![None, Some(7)]).is_none());
        assert!(Tree::of_parents(vec![None, Some(2), Some(1)]).is_none());
        assert!(Tree::of_parents(vec![None, Some(0), Some(1)]).is_some());
    }
}
