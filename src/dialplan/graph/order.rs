//! The order of things in each rank: each moves to the middle of its neighbours in the rank above, then below, again
//! and again; neighbours change places while that helps; the order with the fewest crossings is kept.

use super::layout::Ranked;

/// Further rounds change nothing in flows of a usual size.
const ROUNDS: usize = 24;

pub(super) fn reduce_crossings(ranked: &mut Ranked) {
    (0..ranked.ranks.len()).for_each(|rank| number(ranked, rank));
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

/// Writes down the place of each thing of a rank.
fn number(ranked: &mut Ranked, rank: usize) {
    for (place, item) in ranked.ranks[rank].iter().enumerate() {
        ranked.items[*item].place = place;
    }
}

/// Sorts each rank by the middle of its neighbours in the rank before it.
fn sweep(ranked: &mut Ranked, down: bool) {
    let count = ranked.ranks.len();
    for step in 1..count {
        let rank = if down { step } else { count - 1 - step };
        // Things without a neighbour there keep their place between the others.
        let mut keyed: Vec<(f64, usize)> = Vec::with_capacity(ranked.ranks[rank].len());
        for item in &ranked.ranks[rank] {
            let thing = &ranked.items[*item];
            let near = if down { &thing.above } else { &thing.below };
            let sum: usize = near.iter().map(|other| ranked.items[*other].place).sum();
            let last = keyed.last().map_or(0.0, |(key, _)| *key);
            let key = if near.is_empty() {
                last
            } else {
                sum as f64 / near.len() as f64
            };
            keyed.push((key, *item));
        }
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranked.ranks[rank] = keyed.into_iter().map(|(_, item)| item).collect();
        number(ranked, rank);
    }
}

fn swap_neighbours(ranked: &mut Ranked) {
    for rank in 0..ranked.ranks.len() {
        for left in 0..ranked.ranks[rank].len().saturating_sub(1) {
            let (a, b) = (ranked.ranks[rank][left], ranked.ranks[rank][left + 1]);
            if pair_crossings(ranked, b, a) < pair_crossings(ranked, a, b) {
                ranked.ranks[rank].swap(left, left + 1);
                ranked.items[a].place = left + 1;
                ranked.items[b].place = left;
            }
        }
    }
}

/// Crossings between the lines of two things if `a` stands left of `b`.
fn pair_crossings(ranked: &Ranked, a: usize, b: usize) -> usize {
    let (a, b) = (&ranked.items[a], &ranked.items[b]);
    let place = |item: &usize| ranked.items[*item].place;
    let side = |left: &[usize], right: &[usize]| -> usize {
        left.iter()
            .map(|end| right.iter().filter(|other| place(other) < place(end)).count())
            .sum()
    };
    side(&a.above, &b.above) + side(&a.below, &b.below)
}

fn crossings(ranked: &Ranked) -> usize {
    ranked.ranks.iter().map(|rank| crossings_below(ranked, rank)).sum()
}

/// Ends of the lines below a rank, in the order of their beginnings: each inversion is a crossing.
fn crossings_below(ranked: &Ranked, rank: &[usize]) -> usize {
    let mut sorted: Vec<usize> = Vec::new();
    let mut crossings = 0;
    for item in rank {
        let mut ends: Vec<usize> = ranked.items[*item]
            .below
            .iter()
            .map(|other| ranked.items[*other].place)
            .collect();
        ends.sort_unstable();
        for end in ends {
            let at = sorted.partition_point(|other| *other <= end);
            crossings += sorted.len() - at;
            sorted.insert(at, end);
        }
    }
    crossings
}
