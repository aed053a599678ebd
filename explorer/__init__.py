"""The trained models in one web page, computed in the browser: `make explorer`.

build            checkpoints -> explorer.html
template.html    the page, style.css its looks, explorer.js its models and its three sections
fake_browser.js  for the tests, and act.js
"""
