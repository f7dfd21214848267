// read-arrow.js FILE: reads an Arrow file with the JavaScript library apache-arrow and prints a line for the file, one for each column, and one
// for each row that is asked for, as JSON. Called by ArrowTests.cs, which compares them.
const { tableFromIPC } = require('apache-arrow');
const { readFileSync } = require('fs');

const table = tableFromIPC(readFileSync(process.argv[2]));
console.log(`${table.batches.length} ${table.numRows} ${JSON.stringify([...table.schema.metadata])}`);
for (const field of table.schema.fields)
  console.log(`${field.name}: ${field.type}${field.nullable ? ' or null' : ''}`);
const plain = value => typeof value === 'bigint' ? Number(value) : value !== null && typeof value === 'object' ? [...value] : value;
for (let row = 0; row < table.numRows; row++)
  console.log(JSON.stringify(table.schema.fields.map(field => plain(table.getChild(field.name).get(row)))));
