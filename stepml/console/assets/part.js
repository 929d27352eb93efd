// An element whose inside is drawn apart: Vue draws a component again when something that it has
// read changes, and the elements in its slot are read while it is drawn, not the whole page.
import { h } from "vue";

export default {
  props: { element: String },
  render() {
    return h(this.element, this.$slots.default?.());
  },
};
