"""Templates, style and script of the documents; shipped as `vggcost.templates`."""
