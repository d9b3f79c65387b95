// Runs in the head, before the first paint: the theme of the link, or the one chosen here before.
const asked = /[#&]theme=(light|dark)\b/.exec(location.hash)?.[1];
let kept = null;
try {
  kept = localStorage.getItem("vggcost-theme");
} catch {
  // Storage may be refused, as for some files opened from a disk.
}
if (asked || kept) document.documentElement.dataset.theme = asked || kept;
