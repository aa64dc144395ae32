//! Plans: where threads meet, and that they need not meet elsewhere.

use super::products::some_weights;
use super::*;
use crate::exact::products::{Kind, Packed};

const WIDTH: usize = 64;
const OUTPUTS: usize = 160;

/// What a feed-forward block begins with, on some rows: norm, columns, gate and up, unit.
struct Block {
    a: Array,
    normed: Array,
    gate: Array,
    up: Array,
    weights: [Arc<Packed>; 2],
}

impl Block {
    fn new(rows: usize) -> Self {
        let random = &mut Random(7);
        let weights = [(); 2].map(|()| {
            let bytes = some_weights(Kind::Q8_0, WIDTH, OUTPUTS, random);
            Arc::new(Packed::new(Kind::Q8_0, &bytes, WIDTH, OUTPUTS).unwrap())
        });
        let array = |width| Array::dense(Element::F32, [width, rows, 1, 1]);
        let a = array(WIDTH).filled(Fill::Plain, random);
        Self { a, normed: array(WIDTH), gate: array(OUTPUTS), up: array(OUTPUTS), weights }
    }

    /// The plan; the second product's result may be another array than the block's own.
    fn plan(&mut self, up: Option<View>, out: View) -> Plan {
        let (a, normed, gate) = (self.a.shared(), self.normed.view(), self.gate.view());
        let up = up.unwrap_or(self.up.view());
        let [first, second] = self.weights.clone();
        let inputs = Arc::new(Inputs::new([(WIDTH, a.rows())]));
        let mut plan = one(Norm { kind: NormKind::Rms, epsilon: 1e-5, out: normed, a, weight: None });
        plan.push(QuantizeInputs { a: normed, inputs: Arc::clone(&inputs) });
        plan.push(QuantizedProduct { weights: first, inputs: Arc::clone(&inputs), out: gate });
        plan.push(QuantizedProduct { weights: second, inputs, out: up });
        plan.push(Glu { op: UnaryOp::Silu, out, gate, up });
        plan
    }
}

fn meetings(plan: &Plan) -> Vec<bool> {
    plan.places.iter().map(|place| place.meets).collect()
}

#[test]
fn threads_meet_where_they_must() {
    let [mut single, mut several] = [Block::new(1), Block::new(3)];
    let mut out = Array::dense(Element::F32, [OUTPUTS, 3, 1, 1]);
    let out = out.view();
    let first = View { extents: [OUTPUTS, 1, 1, 1], ..out };
    // One thread does norm and columns of one row; products of the same columns do not wait for each other.
    assert_eq!(meetings(&single.plan(None, first)), [false, true, false, true, true]);
    assert_eq!(meetings(&several.plan(None, out)), [true, true, false, true, true]);
    // But for a result in the same memory, as a whole or in part.
    for rows in [0, 2] {
        let gate = several.gate.view();
        let up = View { data: gate.data.wrapping_add(rows * gate.strides[1]), ..gate };
        assert_eq!(meetings(&several.plan(Some(up), out)), [true, true, true, true, true]);
    }
}

#[test]
fn teams_agree_on_a_block() {
    for rows in [1, 2, 9] {
        let mut block = Block::new(rows);
        let block = &std::cell::RefCell::new(&mut block);
        let out = Array::dense(Element::F32, [OUTPUTS, rows, 1, 1]);
        for _ in 0..20 {
            everywhere(&out, |out| block.borrow_mut().plan(None, out));
        }
    }
}
