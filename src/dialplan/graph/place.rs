//! Positions from left to right: each thing wants to be over the middle of its neighbours; within a rank, order and gaps are
//! kept. For one rank the best compromise (least squares) is an isotonic regression, found by pooling neighbours.

use super::layout::Ranked;

/// Further rounds move nothing by more than a pixel.
const ROUNDS: usize = 80;

pub(super) fn align(ranked: &mut Ranked, gap: f64) {
    pack(ranked, gap);
    for round in 0..ROUNDS {
        let count = ranked.ranks.len();
        for step in 0..count {
            let rank = if round % 2 == 0 { step } else { count - 1 - step };
            settle(ranked, rank, gap, round % 4);
        }
    }
    let left = ranked
        .items
        .iter()
        .map(|item| item.x - item.width / 2.0)
        .fold(f64::INFINITY, f64::min);
    ranked.items.iter_mut().for_each(|item| item.x -= left);
}

/// Side by side, to begin with.
fn pack(ranked: &mut Ranked, gap: f64) {
    for rank in &ranked.ranks {
        let mut x = 0.0;
        for item in rank {
            let thing = &mut ranked.items[*item];
            thing.x = x + thing.width / 2.0;
            x += thing.width + gap;
        }
    }
}

/// Moves the things of one rank towards their neighbours: above, below, or both by turns.
fn settle(ranked: &mut Ranked, rank: usize, gap: f64, turn: usize) {
    let order = ranked.ranks[rank].clone();
    let mut offsets = Vec::with_capacity(order.len());
    let mut wishes = Vec::with_capacity(order.len());
    let mut offset = 0.0;
    for (position, item) in order.iter().enumerate() {
        let thing = &ranked.items[*item];
        if position > 0 {
            let left = &ranked.items[order[position - 1]];
            // Lines may run closer together than boxes.
            let between = if left.height == 0.0 && thing.height == 0.0 {
                gap / 2.0
            } else {
                gap
            };
            offset += (left.width + thing.width) / 2.0 + between;
        }
        offsets.push(offset);
        let (wish, weight) = wish(ranked, *item, turn);
        wishes.push((wish - offset, weight));
    }
    for ((item, offset), place) in order.iter().zip(offsets).zip(pooled(&wishes)) {
        ranked.items[*item].x = offset + place;
    }
}

/// Where a thing wants to be, and how much. Long lines want to be straight more than boxes want to be centred.
fn wish(ranked: &Ranked, item: usize, turn: usize) -> (f64, f64) {
    let thing = &ranked.items[item];
    let near: Vec<usize> = match turn {
        0 if !thing.above.is_empty() => thing.above.clone(),
        1 if !thing.below.is_empty() => thing.below.clone(),
        _ => thing.above.iter().chain(&thing.below).copied().collect(),
    };
    if near.is_empty() {
        return (thing.x, 0.1);
    }
    let mut sum = 0.0;
    let mut total = 0.0;
    for other in near {
        let weight = match (thing.is_box, ranked.items[other].is_box) {
            (false, false) => 8.0,
            (true, true) => 1.0,
            _ => 2.0,
        };
        sum += ranked.items[other].x * weight;
        total += weight;
    }
    (sum / total, if thing.is_box { 1.0 } else { 4.0 })
}

/// The values nearest to the wishes that do not fall from left to right (pool adjacent violators).
fn pooled(wishes: &[(f64, f64)]) -> Vec<f64> {
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (wish, weight) in wishes {
        pools.push((*wish, *weight, 1));
        while let [.., (left, left_weight, left_count), (right, right_weight, right_count)] = pools[..]
            && left > right
        {
            let weight = left_weight + right_weight;
            let mean = (left * left_weight + right * right_weight) / weight;
            pools.truncate(pools.len() - 2);
            pools.push((mean, weight, left_count + right_count));
        }
    }
    pools
        .into_iter()
        .flat_map(|(value, _, count)| std::iter::repeat_n(value, count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooled_values_never_fall_and_stay_near() {
        assert_eq!(pooled(&[(1.0, 1.0), (2.0, 1.0)]), [1.0, 2.0]);
        assert_eq!(pooled(&[(3.0, 1.0), (1.0, 1.0), (9.0, 1.0)]), [2.0, 2.0, 9.0]);
        assert_eq!(pooled(&[(4.0, 3.0), (0.0, 1.0)]), [3.0, 3.0]);
    }
}
