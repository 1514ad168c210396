//! Where boxes and lines go: a layered drawing after Sugiyama, Tagawa and Toda (1981), top to bottom.
//!
//! 1. Lines that close a circle are turned round, so that all point down.
//! 2. Each box gets a rank: one more than the highest rank above it. Boxes have even ranks, labels odd ones.
//! 3. A line over several ranks gets a bend in each; a label is a bend with a size. So lines never run through boxes, and
//!    labels overlap nothing.
//! 4. [`super::order`] sorts each rank so that few lines cross; [`super::place`] moves things over their neighbours.

use super::order;
use super::place;

/// Between things of one rank.
const GAP: f64 = 22.0;
/// Between ranks.
const RANK_GAP: f64 = 20.0;

/// What has to be laid out.
pub(super) struct Graph {
    /// Width and height of each box.
    pub(super) boxes: Vec<(f64, f64)>,
    pub(super) lines: Vec<GraphLine>,
    /// The box at the top.
    pub(super) start: usize,
}

pub(super) struct GraphLine {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Width and height of the label.
    pub(super) label: (f64, f64),
}

/// Where everything is. Points are centres for boxes and labels.
pub(super) struct Layout {
    pub(super) boxes: Vec<Point>,
    pub(super) lines: Vec<Route>,
    pub(super) width: f64,
    pub(super) height: f64,
}

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A line from its first point to its last, in the direction of the way.
pub(super) struct Route {
    pub(super) points: Vec<Point>,
    pub(super) label: Point,
    /// Whether it leads upwards.
    pub(super) is_back: bool,
}

/// A thing in a rank: a box, a label or a bend.
#[derive(Clone, Default, Debug)]
pub(super) struct Item {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: f64,
    /// From left to right in its rank.
    pub(super) place: usize,
    /// Things in the rank above and below that it is joined to.
    pub(super) above: Vec<usize>,
    pub(super) below: Vec<usize>,
    pub(super) is_box: bool,
}

/// Everything in its ranks.
pub(super) struct Ranked {
    pub(super) items: Vec<Item>,
    /// Items of each rank, from left to right.
    pub(super) ranks: Vec<Vec<usize>>,
    /// The items of each line, top to bottom, with both boxes.
    chains: Vec<Vec<usize>>,
    rank_of: Vec<usize>,
}

pub(super) fn lay_out(graph: &Graph) -> Layout {
    let turned = circle_closers(graph);
    let mut ranked = rank(graph, &turned);
    order::reduce_crossings(&mut ranked);
    place::align(&mut ranked, GAP);
    routes(graph, &turned, &ranked)
}

/// The lines that lead back to a box above, seen from the start in the order of the file.
fn circle_closers(graph: &Graph) -> Vec<bool> {
    let mut closers = vec![false; graph.lines.len()];
    let mut state = vec![0_u8; graph.boxes.len()];
    for root in std::iter::once(graph.start).chain(0..graph.boxes.len()) {
        // An explicit stack of (box, next line to look at): flows can be deep.
        let mut stack = if state[root] == 0 { vec![(root, 0)] } else { Vec::new() };
        while let Some((at, line)) = stack.pop() {
            state[at] = 1;
            let next = (line..graph.lines.len()).find(|line| graph.lines[*line].from == at);
            let Some(line) = next else {
                state[at] = 2;
                continue;
            };
            stack.push((at, line + 1));
            match state[graph.lines[line].to] {
                0 => stack.push((graph.lines[line].to, 0)),
                1 => closers[line] = true,
                _ => {}
            }
        }
    }
    closers
}

/// The upper and the lower box of a line.
fn ends(line: &GraphLine, turned: bool) -> (usize, usize) {
    if turned {
        (line.to, line.from)
    } else {
        (line.from, line.to)
    }
}

fn rank(graph: &Graph, turned: &[bool]) -> Ranked {
    let mut rank_of = vec![0; graph.boxes.len()];
    // Without circles, the longest way down has fewer lines than there are boxes.
    for _ in 0..graph.boxes.len() {
        for (line, turned) in graph.lines.iter().zip(turned) {
            let (upper, lower) = ends(line, *turned);
            rank_of[lower] = rank_of[lower].max(rank_of[upper] + 2);
        }
    }
    let count = rank_of.iter().max().map_or(0, |highest| highest + 1);
    let as_item = |(width, height): &(f64, f64)| Item {
        width: *width,
        height: *height,
        is_box: true,
        ..Item::default()
    };
    let mut ranked = Ranked {
        items: graph.boxes.iter().map(as_item).collect(),
        ranks: vec![Vec::new(); count],
        chains: Vec::new(),
        rank_of,
    };
    for item in 0..graph.boxes.len() {
        ranked.ranks[ranked.rank_of[item]].push(item);
    }
    for (line, turned) in graph.lines.iter().zip(turned) {
        ranked.add_chain(line, *turned);
    }
    ranked
}

impl Ranked {
    fn add_chain(&mut self, line: &GraphLine, turned: bool) {
        let (upper, lower) = ends(line, turned);
        let (first, last) = (self.rank_of[upper] + 1, self.rank_of[lower]);
        // The label stands near the step that the way comes from.
        let label_rank = if turned { last - 1 } else { first };
        let mut chain = vec![upper];
        for rank in first..last {
            let (width, height) = if rank == label_rank { line.label } else { (8.0, 0.0) };
            let item = self.items.len();
            self.items.push(Item {
                width,
                height,
                ..Item::default()
            });
            self.rank_of.push(rank);
            self.ranks[rank].push(item);
            chain.push(item);
        }
        chain.push(lower);
        for pair in chain.windows(2) {
            self.items[pair[0]].below.push(pair[1]);
            self.items[pair[1]].above.push(pair[0]);
        }
        self.chains.push(chain);
    }

    fn label_of(&self, chain: &[usize], turned: bool) -> usize {
        if turned { chain[chain.len() - 2] } else { chain[1] }
    }
}

fn routes(graph: &Graph, turned: &[bool], ranked: &Ranked) -> Layout {
    let (tops, heights) = rows(ranked);
    let centre = |item: usize| {
        let rank = ranked.rank_of[item];
        let thing = &ranked.items[item];
        // Boxes hang from the top of their row, labels stand in the middle.
        let y = if thing.is_box {
            tops[rank] + thing.height / 2.0
        } else {
            tops[rank] + heights[rank] / 2.0
        };
        Point { x: thing.x, y }
    };
    let lines = ranked.chains.iter().enumerate().map(|(line, chain)| {
        let mut points = Vec::new();
        for (position, item) in chain.iter().enumerate() {
            let rank = ranked.rank_of[*item];
            let (top, bottom) = (tops[rank], tops[rank] + heights[rank]);
            let thing = &ranked.items[*item];
            if position == 0 {
                let x = port(ranked, *item, chain[1], true);
                points.push(Point {
                    x,
                    y: top + thing.height,
                });
                points.push(Point { x, y: bottom });
            } else if position + 1 == chain.len() {
                points.push(Point {
                    x: port(ranked, *item, chain[position - 1], false),
                    y: top,
                });
            } else {
                points.push(Point { x: thing.x, y: top });
                points.push(Point { x: thing.x, y: bottom });
            }
        }
        if turned[line] {
            points.reverse();
        }
        Route {
            points,
            label: centre(ranked.label_of(chain, turned[line])),
            is_back: turned[line],
        }
    });
    let right = ranked
        .items
        .iter()
        .map(|item| item.x + item.width / 2.0)
        .fold(0.0, f64::max);
    Layout {
        lines: lines.collect(),
        boxes: (0..graph.boxes.len()).map(centre).collect(),
        width: right,
        height: tops
            .last()
            .zip(heights.last())
            .map_or(0.0, |(top, height)| top + height),
    }
}

/// Top and height of each rank.
fn rows(ranked: &Ranked) -> (Vec<f64>, Vec<f64>) {
    let height = |rank: &Vec<usize>| rank.iter().map(|item| ranked.items[*item].height).fold(0.0, f64::max);
    let heights: Vec<f64> = ranked.ranks.iter().map(height).collect();
    let tops = heights.iter().scan(0.0, |top, height| {
        let this = *top;
        *top += height + RANK_GAP;
        Some(this)
    });
    (tops.collect(), heights)
}

/// Where on the edge of a box a line starts or ends: lines are spread in the order in which they leave.
fn port(ranked: &Ranked, item: usize, other: usize, below: bool) -> f64 {
    let thing = &ranked.items[item];
    let mut others = if below {
        thing.below.clone()
    } else {
        thing.above.clone()
    };
    others.sort_by(|a, b| ranked.items[*a].x.total_cmp(&ranked.items[*b].x));
    let position = others.iter().position(|candidate| *candidate == other).unwrap_or(0);
    let share = (position as f64 + 0.5) / others.len().max(1) as f64;
    // Straight down where the box is wide enough, spread over its inner part otherwise.
    let spread = thing.x + (share - 0.5) * thing.width * 0.8;
    let limit = thing.width * 0.4 / others.len().max(1) as f64;
    ranked.items[other].x.clamp(spread - limit, spread + limit)
}
