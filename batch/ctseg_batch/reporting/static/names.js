// A long name is cut before its end, not at it, since the scans of a study often begin alike.
const namePieces = (name) => {
  const ending = 8; // letters, as `.beginning` has them in report.css
  const letters = [...name];
  if (letters.length <= 2 * ending) return [name];
  const beginning = document.createElement("span");
  beginning.className = "beginning";
  beginning.textContent = letters.slice(0, -ending).join("");
  return [beginning, letters.slice(-ending).join("")];
};
