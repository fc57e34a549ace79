// The part of Vega that the specifications in figures/charts.py need: no maps, trees or forces.
import {extend} from 'vega-util';
import {transforms} from 'vega-dataflow';
import * as plain from 'vega-transforms';
import * as layout from 'vega-view-transforms';
import * as encode from 'vega-encode';

extend(transforms, plain, layout, encode);

export * from 'vega-util';
export {View} from 'vega-view';
export {parse} from 'vega-parser';
