//! Programs over blocks of 4 × 4 elements, for operands whose neighbours lie along another dim than those of the results:
//! an invocation reads four columns of such an operand and four rows of the others as vectors.

use super::shape::{Shape, Walk};
use super::text::write_store;
use super::{GROUP, Kernel, Operand, WORKGROUP};
use crate::dtype::DType;
use crate::exec::program::Program;
use crate::gpu::memory::Allocation;
use crate::gpu::wgsl::{decode, element_of, load};
use smallvec::SmallVec;
use std::fmt::Write;

/// How the index space is cut. Its last dim gives the columns of blocks.
#[derive(Clone)]
pub(super) struct Blocks {
    /// The dim of the rows.
    pub(super) rows: usize,
    /// The parameters before the dims: across and down, the blocks of a workgroup as powers of two and the workgroups; then
    /// how often the two dims lie in the others.
    pub(super) header: [u32; 5],
    pub(super) workgroups: usize,
}

/// The power of two that is at least `count`.
fn power_above(count: usize) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

impl Blocks {
    pub(super) fn new(dims: &[usize], rows: usize) -> Blocks {
        let (wide, high) = (dims[dims.len() - 1] / GROUP, dims[rows] / GROUP);
        let others = dims.iter().product::<usize>() / (wide * high * GROUP * GROUP);
        // 16 across and 16 down are fastest; where there are fewer one way, there are more the other way or behind.
        let lanes = WORKGROUP.ilog2();
        let across = power_above(wide).min(lanes - power_above(high).min(lanes / 2));
        let down = power_above(high).min(lanes - across);
        let (tiles_across, tiles_down) = (wide.div_ceil(1 << across), high.div_ceil(1 << down));
        let behind = others.div_ceil(1 << (lanes - across - down));
        Blocks {
            rows,
            header: [across, down, tiles_across as u32, tiles_down as u32, others as u32],
            workgroups: tiles_across * tiles_down * behind,
        }
    }
}

impl Shape {
    /// The launch over blocks, where some operand can be read in vectors only so.
    pub(super) fn in_blocks(&self, program: &Program, operands: &[Operand], targets: &[&Allocation]) -> Option<Shape> {
        let (columns, dense) = (self.dims.len() - 1, self.dims.contiguous_strides());
        let overwritten = |k: usize| targets.iter().any(|t| t.id == operands[k].memory.id);
        // Other blocks read what a block overwrites, unless every operand there lies as the results do.
        if (0..operands.len()).any(|k| self.strides[k] != dense && overwritten(k)) {
            return None;
        }
        let blocked = |d: usize| self.dims[d].is_multiple_of(GROUP);
        let vectors = |k: usize, dim: usize| {
            let aligned = |(d, &s): (usize, &usize)| if d == dim { s == 1 } else { s.is_multiple_of(GROUP) };
            operands[k].offset.is_multiple_of(GROUP) && self.strides[k].iter().enumerate().all(aligned)
        };
        let turned = |d: usize| (0..operands.len()).filter(|&k| self.strides[k][columns] != 0 && vectors(k, d)).count();
        let rows = (0..columns).filter(|&d| blocked(d) && turned(d) > 0).max_by_key(|&d| turned(d))?;
        if !blocked(columns) {
            return None;
        }
        let walk = |k: usize| match self.walks[k] {
            Walk::Constant => Walk::Constant,
            _ if vectors(k, rows) => Walk::Turned,
            _ if vectors(k, columns) => Walk::Row,
            _ => Walk::Single,
        };
        let mut s = Shape {
            dims: self.dims.clone(),
            strides: self.strides.clone(),
            walks: (0..operands.len()).map(walk).collect(),
            blocks: Some(Blocks::new(&self.dims, rows)),
            loads: SmallVec::new(),
            stores: SmallVec::new(),
            bindings: SmallVec::new(),
        };
        s.bind(program, operands, targets, false);
        s.walks.contains(&Walk::Turned).then_some(s)
    }
}

impl Kernel {
    pub(super) fn write_blocks(&self, t: &mut String, s: &Shape, blocks: &Blocks) {
        let p = &self.program;
        write_place(t, s.dims.len(), blocks);
        let mut at = s.header() + s.dims.len();
        for (k, &walk) in s.walks.iter().enumerate() {
            if walk != Walk::Constant {
                let vectors = Vectors { k, dtype: p.loads[k], buffer: s.loads[k] };
                vectors.write_reads(t, walk, at, s.dims.len(), blocks.rows);
            }
            at += s.words(walk);
        }
        t.push_str("    for (var i = 0u; i < 4u; i++) {\n    let odd = (i & 1u) == 1u;\n    let late = i >= 2u;\n");
        t.push_str("    let element = first + i * down;\n    let g = element / 4u;\n");
        let mut calls: [String; GROUP] = std::array::from_fn(|j| format!("    let r{j} = compute(element + {j}u"));
        for (k, &walk) in s.walks.iter().enumerate() {
            if walk != Walk::Constant {
                let vectors = Vectors { k, dtype: p.loads[k], buffer: s.loads[k] };
                for (j, value) in vectors.write_values(t, walk).iter().enumerate() {
                    let _ = write!(calls[j], ", {value}");
                }
            }
        }
        calls.iter().for_each(|call| t.extend([call, ");\n"]));
        for (k, (_, dtype)) in p.stores.iter().enumerate() {
            write_store(t, k, *dtype, s.stores[k], s.bindings[s.stores[k] as usize].0 != 0);
        }
        t.push_str("    }\n}\n");
    }
}

/// The head of the kernel: the block's first element in each dim `c{d}`, its position `first`, and from row to row `down`.
fn write_place(t: &mut String, rank: usize, blocks: &Blocks) {
    let (rows, columns, header) = (blocks.rows, rank - 1, blocks.header.len());
    let size = |d: usize| format!("P({}u)", header + d);
    let _ = write!(
        t,
        "@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {{
    let tile = group.x + group.y * grid.x;
    let below = tile / P(2u);
    let behind = below / P(3u);
    let c{columns} = 4u * (((tile - below * P(2u)) << P(0u)) + (lane & ((1u << P(0u)) - 1u)));
    let c{rows} = 4u * (((below - behind * P(3u)) << P(1u)) + ((lane >> P(0u)) & ((1u << P(1u)) - 1u)));
    var rest = (behind << (8u - P(0u) - P(1u))) + (lane >> (P(0u) + P(1u)));
    if (c{columns} >= {} || c{rows} >= {} || rest >= P(4u)) {{ return; }}
",
        size(columns),
        size(rows),
    );
    for d in (0..columns).rev().filter(|&d| d != rows) {
        let _ = writeln!(t, "    let c{d} = rest % {size};\n    rest = rest / {size};", size = size(d));
    }
    let first = (1..rank).fold("c0".to_string(), |inner, d| format!("({inner}) * {} + c{d}", size(d)));
    let down: Vec<String> = (rows + 1..rank).map(size).collect();
    let _ = writeln!(t, "    let first = {first};\n    let down = {};", down.join(" * "));
}

/// An operand in a block.
struct Vectors {
    k: usize,
    dtype: DType,
    buffer: u8,
}

impl Vectors {
    /// Reads the four vectors `w{k}_{v}`, followed by `x{k}_{v}` for elements of eight bytes; what is read one at a time is
    /// not read yet. The operand's offset is word `at` of the parameters.
    fn write_reads(&self, t: &mut String, walk: Walk, at: usize, rank: usize, rows: usize) {
        let (k, b) = (self.k, self.buffer);
        let terms: String = (0..rank).map(|d| format!(" + c{d} * P({}u)", at + 1 + d)).collect();
        let (down, across) = (format!("P({}u)", at + 1 + rows), format!("P({}u)", at + rank));
        let _ = writeln!(t, "    let o{k} = P({at}u){terms};");
        let way = match walk {
            Walk::Turned => across,
            Walk::Row => down,
            _ => {
                let _ = writeln!(t, "    let down{k} = {down};\n    let across{k} = {across};");
                return;
            }
        };
        for v in 0..GROUP {
            let place = format!("(o{k} + {v}u * {way}) / 4u");
            if self.dtype.size() == 8 {
                let _ = writeln!(
                    t,
                    "    let w{k}_{v} = b{b}[2u * ({place})];\n    let x{k}_{v} = b{b}[2u * ({place}) + 1u];"
                );
            } else {
                let _ = writeln!(t, "    let w{k}_{v} = b{b}[{place}];");
            }
        }
    }

    /// The four values of row `i`, after the statements that they need. Vectors are not indexed by `i`: a compiler that keeps
    /// the loop would put them into memory.
    fn write_values(&self, t: &mut String, walk: Walk) -> [String; GROUP] {
        let (k, dtype, wide) = (self.k, self.dtype, self.dtype.size() == 8);
        let choose =
            |a: &str, b: &str, c: &str, d: &str| format!("select(select({a}, {b}, odd), select({c}, {d}, odd), late)");
        match walk {
            Walk::Turned => std::array::from_fn(|j| {
                let (w, x) = (format!("w{k}_{j}"), format!("x{k}_{j}"));
                let part = |v: &str, parts: &str| format!("{v}.{parts}");
                match dtype.size() {
                    1 => decode(dtype, &w, "", "8u * i"),
                    2 => decode(dtype, &format!("select({w}.x, {w}.y, late)"), "", "16u * (i & 1u)"),
                    4 => decode(dtype, &choose(&part(&w, "x"), &part(&w, "y"), &part(&w, "z"), &part(&w, "w")), "", ""),
                    _ => {
                        let pair = choose(&part(&w, "xy"), &part(&w, "zw"), &part(&x, "xy"), &part(&x, "zw"));
                        let _ = writeln!(t, "    let e{k}_{j} = {pair};");
                        decode(dtype, &format!("e{k}_{j}.x"), &format!("e{k}_{j}.y"), "")
                    }
                }
            }),
            Walk::Row => {
                for name in ["w", "x"].iter().take(if wide { 2 } else { 1 }) {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|v| format!("{name}{k}_{v}"));
                    let _ = writeln!(t, "    let {name}{k} = {};", choose(&a, &b, &c, &d));
                }
                std::array::from_fn(|j| element_of(dtype, &format!("w{k}"), &format!("x{k}"), j))
            }
            _ => std::array::from_fn(|j| {
                load(&format!("b{}", self.buffer), dtype, &format!("o{k} + i * down{k} + {j}u * across{k}"))
            }),
        }
    }
}
