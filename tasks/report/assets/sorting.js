// The tables of the page sort.
document.querySelectorAll("table.sorts").forEach(sortable);
