//! The order of things in each rank: each moves to the middle of its neighbours in the rank above, then below, again
//! and again; the order with the fewest crossings is kept. Then neighbours change places while that helps.

use super::layout::Ranked;

/// Further rounds change nothing in flows of this size.
const ROUNDS: usize = 24;

pub(super) fn reduce_crossings(ranked: &mut Ranked) {
    let mut best = ranked.ranks.clone();
    let mut fewest = crossings(ranked);
    for round in 0..ROUNDS {
        sweep(ranked, round % 2 == 0);
        swap_neighbours(ranked);
        let crossings = crossings(ranked);
        if crossings < fewest {
            fewest = crossings;
            best.clone_from(&ranked.ranks);
        }
    }
    ranked.ranks = best;
}

/// Sorts each rank by the middle of its neighbours in the rank before it.
fn sweep(ranked: &mut Ranked, down: bool) {
    let count = ranked.ranks.len();
    let ranks: Vec<usize> = if down {
        (1..count).collect()
    } else {
        (0..count.saturating_sub(1)).rev().collect()
    };
    for rank in ranks {
        let before = if down { rank - 1 } else { rank + 1 };
        let position = positions(ranked, before);
        let middle = |item: usize| {
            let thing = &ranked.items[item];
            let near = if down { &thing.above } else { &thing.below };
            let sum: f64 = near.iter().map(|other| position[*other]).sum();
            (!near.is_empty()).then(|| sum / near.len() as f64)
        };
        // Things without a neighbour there keep their place between the others.
        let mut keyed: Vec<(f64, usize)> = Vec::new();
        for item in &ranked.ranks[rank] {
            let last = keyed.last().map_or(0.0, |(key, _)| *key);
            keyed.push((middle(*item).unwrap_or(last), *item));
        }
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranked.ranks[rank] = keyed.into_iter().map(|(_, item)| item).collect();
    }
}

fn swap_neighbours(ranked: &mut Ranked) {
    for rank in 0..ranked.ranks.len() {
        for left in 0..ranked.ranks[rank].len().saturating_sub(1) {
            let before = crossings_at(ranked, rank);
            ranked.ranks[rank].swap(left, left + 1);
            if crossings_at(ranked, rank) >= before {
                ranked.ranks[rank].swap(left, left + 1);
            }
        }
    }
}

/// The place of each item in its rank; zero for items of other ranks.
fn positions(ranked: &Ranked, rank: usize) -> Vec<f64> {
    let mut position = vec![0.0; ranked.items.len()];
    for (place, item) in ranked.ranks[rank].iter().enumerate() {
        position[*item] = place as f64;
    }
    position
}

fn crossings(ranked: &Ranked) -> usize {
    (0..ranked.ranks.len().saturating_sub(1))
        .map(|rank| crossings_below(ranked, rank))
        .sum()
}

/// Crossings on both sides of a rank.
fn crossings_at(ranked: &Ranked, rank: usize) -> usize {
    let above = if rank > 0 { crossings_below(ranked, rank - 1) } else { 0 };
    let below = if rank + 1 < ranked.ranks.len() {
        crossings_below(ranked, rank)
    } else {
        0
    };
    above + below
}

fn crossings_below(ranked: &Ranked, rank: usize) -> usize {
    let position = positions(ranked, rank + 1);
    // Ends of the lines in the lower rank, in the order of their beginnings: each inversion is a crossing.
    let mut ends: Vec<f64> = Vec::new();
    let mut crossings = 0;
    for item in &ranked.ranks[rank] {
        let below: Vec<f64> = ranked.items[*item].below.iter().map(|other| position[*other]).collect();
        for end in &below {
            crossings += ends.iter().filter(|other| *other > end).count();
        }
        ends.extend(below);
    }
    crossings
}
