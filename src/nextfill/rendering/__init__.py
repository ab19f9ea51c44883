"""Texts, tables, colours and charts as HTML, SVG or plain lines."""
