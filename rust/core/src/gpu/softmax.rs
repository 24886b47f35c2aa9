//! Softmax and log-softmax along a dim, and their gradients.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::rows::{self, Parameters};
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use smallvec::SmallVec;

const FORWARD: &str = include_str!("../../../../shaders/softmax.wgsl");
const GRADIENT: &str = include_str!("../../../../shaders/softmax_grad.wgsl");

/// The rows along a dim of operands of one shape.
struct Frame {
    rows: usize,
    n: usize,
    lanes: usize,
    parameters: Parameters,
}

impl Frame {
    /// Parameters: rows, elements a row, each operand's stride along a row, each one's rows.
    fn new(gpu: &Gpu, operands: &[&View], dim: usize) -> Frame {
        let first = operands[0];
        let rank = first.shape.len();
        let along = |x: &View| x.strides.get(dim).copied().unwrap_or(1);
        let n = first.shape.get(dim).copied().unwrap_or(1);
        let rows = (0..rank).filter(|&d| d != dim).map(|d| first.shape[d]).product();
        let mut header: SmallVec<[usize; 8]> = SmallVec::from_iter([rows, n]);
        header.extend(operands.iter().map(|x| along(x)));
        header.extend(operands.iter().map(|_| 0));
        let mut parameters = Parameters::new(&header);
        for (k, x) in operands.iter().enumerate() {
            let outer = rows::axes(x, (0..rank).filter(|&d| d != dim));
            parameters.point(2 + operands.len() + k, x.offset, &outer);
        }
        let across = along(first) != 1 && rows::dense_inside(&rows::axes(first, (0..rank).filter(|&d| d != dim)));
        Frame { rows, n, lanes: rows::lanes(gpu, rows, n, across), parameters }
    }

    fn launch(
        &self,
        gpu: &Gpu,
        name: &'static str,
        operands: &[&View],
        log: bool,
        fields: &[&str],
        text: impl FnOnce(Text) -> Text,
        body: &str,
    ) -> Result<()> {
        if self.rows * self.n == 0 {
            return Ok(());
        }
        let mut key = vec![self.lanes as u32, u32::from(log)];
        key.extend(operands.iter().map(|x| x.dtype as u32).chain(self.parameters.key()));
        let pipeline = gpu.pipeline((name, key), || {
            let constants = format!("const LOG = {log};\n{}", self.parameters.text());
            text(Text::new().line(&constants)).finish(&format!("{}{body}", rows::frame(gpu, self.lanes, fields)))
        })?;
        let buffers: SmallVec<[_; 4]> = operands.iter().map(|x| x.memory).collect();
        let (parameters, groups) = (self.parameters.words(), rows::grid(self.rows, self.lanes));
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters, groups })
    }
}

pub fn forward(gpu: &Gpu, log: bool, dim: usize, x: &View, y: &View) -> Result<()> {
    let operands = [x, y];
    let text = |t: Text| t.input("x", x.dtype, DType::F32).output("y", y.dtype, DType::F32);
    let frame = Frame::new(gpu, &operands, dim);
    frame.launch(gpu, "softmax", &operands, log, &["top", "sum"], text, FORWARD)
}

pub fn gradient(gpu: &Gpu, log: bool, dim: usize, g: &View, y: &View, dx: &View) -> Result<()> {
    let operands = [g, y, dx];
    let text =
        |t: Text| t.input("g", g.dtype, DType::F32).input("y", y.dtype, DType::F32).output("dx", dx.dtype, DType::F32);
    let frame = Frame::new(gpu, &operands, dim);
    frame.launch(gpu, "softmax_backward", &operands, log, &[], text, GRADIENT)
}
